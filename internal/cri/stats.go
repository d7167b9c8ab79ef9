package cri

import (
	"context"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/lifecycle"
	"carob/internal/status"
	"carob/internal/sys/disk"
	"carob/internal/sys/procfs"
)

// stats reads the use of resources. It keeps the last CPU time of each group, from
// which the present rate is taken; what was not asked for in a while is forgotten.
type stats struct {
	s Services
	finder
	unread unread

	mu    sync.Mutex // guards what follows
	last  map[string]reading
	trees map[string]tree
}

// tree is what a container had written at one moment, and how long counting took.
type tree struct {
	at            time.Time
	took          time.Duration
	bytes, inodes uint64
}

// holds tells whether it is not counted again yet: that walks over all of it, and with a
// million files takes seconds, so that what took long is counted less often.
func (t tree) holds(now time.Time) bool { return now.Sub(t.at) < max(keepTree, 20*t.took) }

// reading is the CPU time of a group at one moment, and the rate of then, in
// nanoseconds per second.
type reading struct {
	at    time.Time
	total uint64
	rate  uint64
}

func newStats(s Services) *stats {
	return &stats{
		s: s, finder: finder{s.Engine}, unread: unread{log: s.Log, told: map[string]time.Time{}},
		last: map[string]reading{}, trees: map[string]tree{},
	}
}

const (
	// shortest is the least time between two readings that a rate is taken from.
	shortest = time.Second
	// keepReading is how long a reading counts.
	keepReading = 10 * time.Minute
	// keepTree is how long what was written is not counted again at least.
	keepTree = 10 * time.Second
)

// rate is the group's CPU use since the reading before.
func (n *stats) rate(id string, at time.Time, total uint64) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	old, known := n.last[id]
	elapsed := at.Sub(old.at)
	if known && elapsed < shortest {
		return old.rate
	}
	next := reading{at: at, total: total}
	if known && total > old.total && elapsed < keepReading {
		next.rate = uint64(float64(total-old.total) / elapsed.Seconds())
	}
	if !known { // a newcomer: look whom nobody asks for any more
		maps.DeleteFunc(n.last, func(_ string, r reading) bool { return at.Sub(r.at) > keepReading })
	}
	n.last[id] = next
	return next.rate
}

// ContainerStats tells what one container uses.
func (n *stats) ContainerStats(ctx context.Context, r *cri.ContainerStatsRequest) (*cri.ContainerStatsResponse, error) {
	c, err := n.container(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	one, err := n.ofContainer(ctx, c)
	return &cri.ContainerStatsResponse{Stats: one}, err
}

// ofContainer has what is known: a container can make its files uncountable, and its memory
// is nevertheless the kubelet's business.
func (n *stats) ofContainer(ctx context.Context, c status.Container) (*cri.ContainerStats, error) {
	u := shown.Use{Stats: status.Stats{At: time.Now()}, Root: n.s.Root}
	var err error
	u.Written, u.Files, err = n.written(ctx, c.ID)
	if n.unread.note(ctx, unreadable{"files of container", c.ID, err}) != nil {
		u.Root = ""
	}
	if c.State != lifecycle.ContainerRunning {
		return shown.ContainerStats(c, u), nil
	}
	if u.Stats, err = n.s.Groups.GroupStats(ctx, c.Cgroup); err != nil {
		return nil, err
	}
	u.Rate = n.rate(c.ID, u.Stats.At, u.Stats.CPUTotal)
	return shown.ContainerStats(c, u), nil
}

func (n *stats) list(ctx context.Context, f *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error) {
	all := n.containers(selection{f.GetId(), f.GetPodSandboxId(), f.GetLabelSelector()})
	return readAll(ctx, all, func(c status.Container) (*cri.ContainerStats, error) {
		one, err := n.ofContainer(ctx, c)
		return one, n.unread.note(ctx, unreadable{"container", c.ID, err})
	})
}

// ListContainerStats tells what the chosen containers use.
func (n *stats) ListContainerStats(ctx context.Context, r *cri.ListContainerStatsRequest) (*cri.ListContainerStatsResponse, error) {
	all, err := n.list(ctx, r.GetFilter())
	return &cri.ListContainerStatsResponse{Stats: all}, err
}

// StreamContainerStats is ListContainerStats in pieces.
func (n *stats) StreamContainerStats(r *cri.StreamContainerStatsRequest, to grpc.ServerStreamingServer[cri.StreamContainerStatsResponse]) error {
	all, err := n.list(to.Context(), r.GetFilter())
	if err != nil {
		return err
	}
	return inPieces(all, func(some []*cri.ContainerStats) error {
		return to.Send(&cri.StreamContainerStatsResponse{ContainerStats: some})
	})
}

// PodSandboxStats tells what one pod uses: its cgroup, its network, its containers.
func (n *stats) PodSandboxStats(ctx context.Context, r *cri.PodSandboxStatsRequest) (*cri.PodSandboxStatsResponse, error) {
	p, err := n.sandbox(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	one, err := n.ofSandbox(ctx, p)
	return &cri.PodSandboxStatsResponse{Stats: one}, err
}

func (n *stats) ofSandbox(ctx context.Context, p status.Pod) (*cri.PodSandboxStats, error) {
	s := status.Stats{At: time.Now()}
	var links []procfs.Link
	if p.State == lifecycle.PodReady {
		var err error
		if s, err = n.s.Groups.GroupStats(ctx, p.Cgroup); err != nil {
			return nil, err
		}
		if links, err = readLinks(p); err != nil {
			return nil, err
		}
	}
	containers, err := n.list(ctx, &cri.ContainerStatsFilter{PodSandboxId: p.ID})
	return shown.SandboxStats(p, shown.SandboxUse{
		Stats: s, Rate: n.rate(p.ID, s.At, s.CPUTotal), Links: links, Containers: containers,
	}), err
}

func (n *stats) listSandboxStats(ctx context.Context, f *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	all := n.sandboxes(selection{id: f.GetId(), labels: f.GetLabelSelector()})
	return readAll(ctx, all, func(p status.Pod) (*cri.PodSandboxStats, error) {
		one, err := n.ofSandbox(ctx, p)
		return one, n.unread.note(ctx, unreadable{"pod", p.ID, err})
	})
}

// ListPodSandboxStats tells what the chosen pods use.
func (n *stats) ListPodSandboxStats(ctx context.Context, r *cri.ListPodSandboxStatsRequest) (*cri.ListPodSandboxStatsResponse, error) {
	all, err := n.listSandboxStats(ctx, r.GetFilter())
	return &cri.ListPodSandboxStatsResponse{Stats: all}, err
}

// StreamPodSandboxStats is ListPodSandboxStats in pieces.
func (n *stats) StreamPodSandboxStats(r *cri.StreamPodSandboxStatsRequest, to grpc.ServerStreamingServer[cri.StreamPodSandboxStatsResponse]) error {
	all, err := n.listSandboxStats(to.Context(), r.GetFilter())
	if err != nil {
		return err
	}
	return inPieces(all, func(some []*cri.PodSandboxStats) error {
		return to.Send(&cri.StreamPodSandboxStatsResponse{PodSandboxStats: some})
	})
}

// written is what a container has written into its root file system.
func (n *stats) written(ctx context.Context, id string) (bytes, inodes uint64, err error) {
	n.mu.Lock()
	known, ok := n.trees[id]
	n.mu.Unlock()
	if ok && known.holds(time.Now()) {
		return known.bytes, known.inodes, nil
	}
	at := time.Now()
	if bytes, inodes, err = disk.Tree(ctx, filepath.Join(n.s.Root, "images", "rootfs", id, "upper")); err != nil {
		return 0, 0, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !ok { // a newcomer, as above
		maps.DeleteFunc(n.trees, func(_ string, t tree) bool { return at.Sub(t.at) > keepReading })
	}
	n.trees[id] = tree{at, time.Since(at), bytes, inodes}
	return bytes, inodes, nil
}
