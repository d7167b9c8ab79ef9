package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/launch"
	"carob/internal/cri"
	"carob/internal/groups"
	"carob/internal/host"
	"carob/internal/image"
	"carob/internal/image/registry"
	"carob/internal/kube"
	"carob/internal/network"
	"carob/internal/plan/address"
	"carob/internal/plan/ident"
	"carob/internal/pod"
	"carob/internal/roots"
	"carob/internal/runtime"
	"carob/internal/store"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/session"
)

// config is what `carob serve` is told.
type config struct {
	root, run, socket string
	cri               criConfig
	readyFD           int
	idBase, idSize    uint32
	pools             []string
	registries        string // directory of hosts.toml files
	policy            string // file that says which images are trusted
}

func serveCommand(c config) *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve [FLAGS]", Short: "Run the daemon in the foreground",
		Long: `Runs the daemon. Containers do not depend on it: they go on when it stops, and their
exit codes are there when it is back. SIGTERM and SIGINT end it.`,
		Example: "  carob serve --root /var/lib/carob --run /run/carob",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("policy") {
				if err := registry.CheckPolicy(c.policy); err != nil {
					return err
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), session.Quit()...)
			defer stop()
			debug.SetGCPercent(gcPercent)
			return serve(ctx, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.root, "root", c.root, "`DIR` for images, volumes and logs")
	f.StringVar(&c.run, "run", c.run, "`DIR` for what lives as long as the machine runs")
	f.StringVar(&c.socket, "socket", c.socket, "`PATH` of the API's socket")
	f.StringVar(&c.cri.socket, "cri-socket", "", "`PATH` of the kubelet's socket (CRI v1), or none (default carob.sock in the run directory)")
	f.StringVar(&c.cri.streams, "cri-streams", "127.0.0.1:0", "`ADDRESS` where the kubelet finds streams of exec, attach and port-forward")
	f.Uint32Var(&c.idBase, "userns-base", ident.DefaultBase, "first host `ID` for user namespaces of pods")
	f.Uint32Var(&c.idSize, "userns-size", 1<<31-ident.DefaultBase, "`NUMBER` of host IDs for user namespaces of pods")
	f.StringVar(&c.registries, "registry-config", c.registries, "`DIR` with HOST/hosts.toml for mirrors, certificates and plain HTTP")
	f.StringSliceVar(&c.pools, "address-pool", nil, "`CIDR` that networks take their subnets from, one per family; "+address.DefaultPool4().String()+" and a /48 of this machine's when not given")
	f.StringVar(&c.policy, "policy", c.policy, "`FILE` that says which images may be pulled, in the form of containers-policy.json(5)")
	f.IntVar(&c.readyFD, "ready-fd", 0, "write a line to this descriptor when ready")
	_ = f.MarkHidden("ready-fd") // it was made in the line above
	return cmd
}

// gcPercent lets the daemon, which has 2 MB in use with few pods, allocate 8 MB more
// between collections. With Go's 100 they came with every fifth start and took a CPU
// from it for milliseconds; this way with every twelfth.
const gcPercent = 200

// serve wires the house together and runs it until ctx ends.
func serve(ctx context.Context, c config) (err error) {
	session.Umask(0o022)
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	door, err := launch.Open(c.run, c.socket, launch.Activation{PID: os.Getenv("LISTEN_PID"), FDs: os.Getenv("LISTEN_FDS")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, door.Release()) }()
	facts, err := host.Read()
	if err != nil {
		return err
	}
	images, err := openImages(ctx, c, log)
	if err != nil {
		return err
	}
	layout, err := cgroups()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, layout.Prune()) }()
	users := &roots.Users{}
	rootfs := roots.New(users)
	defer rootfs.Close()
	native, err := openNative(c, layout, users)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, native.Close()) }()
	ranges, err := idRanges(c)
	if err != nil {
		return err
	}
	records, networks, err := openNetworks(c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, networks.Close()) }()
	engine := pod.New(pod.Deps{
		Sandboxes: native, Processes: native, Groups: groups.New(layout), Roots: rootfs, Observer: groups.New(layout),
		Images: images, Network: networks, Store: records,
		Facts: facts, Log: log, RunDir: c.run, LibDir: c.root, Ranges: ranges,
	})
	defer func() { err = errors.Join(err, engine.Close()) }()
	return attend(ctx, c, door, house{engine: engine, images: images, layout: layout, networks: networks, facts: facts, log: log})
}

// house is what the doors lead to.
type house struct {
	engine   *pod.Engine
	images   *image.Store
	layout   *cgroup.Layout
	networks *network.Builtin
	facts    host.Facts
	log      *slog.Logger
}

// attend brings the engine up to date and serves both doors, the API's and the
// kubelet's, until ctx ends or one of them cannot go on.
func attend(ctx context.Context, c config, door *launch.Door, h house) (err error) {
	engine, log := h.engine, h.log
	if err := engine.Recover(ctx); err != nil {
		log.Error("recover", "error", err)
	}
	applier := newApplier(c, engine, log)
	registries := c.client(h.images, log)
	kubelet, err := openCRI(c, cri.Services{
		Engine: engine, Images: h.images, Pull: puller(registries), Groups: groups.New(h.layout), Host: criHost(h.facts, h.layout), Version: version,
		Network: func() error { return nil }, Root: c.root, Log: log,
	})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer func() { end(); err = errors.Join(err, <-kubelet.ended) }()
	go kubelet.serve(ctx, end)
	if err := launch.Ready(c.readyFD); err != nil {
		log.Warn("ready", "error", err) // whoever started the daemon has gone
	}
	log.Info("ready", "version", version, "socket", c.socket, "root", c.root)
	return api.Serve(ctx, door, api.Services{
		Engine: engine, Images: h.images, Committer: image.NewCommitter(h.images), Manifests: manifests{applier}, Host: describe(c, h.facts), Log: log,
		Registries: registries, Networks: h.networks, Wiring: pod.Wiring{Engine: engine},
	})
}

// newApplier carries out manifests, and has removed what earlier pods of theirs left.
func newApplier(c config, engine *pod.Engine, log *slog.Logger) *kube.Applier {
	applier := &kube.Applier{
		Engine: kubeEngine{engine}, Mounts: hostMounts{}, Logs: logTail{}, Facts: kube.Local, Dir: filepath.Join(c.root, "pods"),
	}
	if err := applier.Sweep(liveUIDs(engine)); err != nil {
		log.Error("sweep volumes", "error", err)
	}
	return applier
}

// client is who speaks with registries.
func (c config) client(images *image.Store, log *slog.Logger) *registry.Client {
	return registry.New(registry.Config{Images: image.NewIntake(images), Dir: c.registries, Policy: c.policy, Agent: "carob/" + version, Log: log})
}

// cgroups finds the host's hierarchies. In each stays a group for the pods that name
// no other parent.
func cgroups() (*cgroup.Layout, error) {
	layout, err := cgroup.Detect()
	if err == nil {
		layout.Keep("/carob")
	}
	return layout, err
}

func openNative(c config, layout *cgroup.Layout, users *roots.Users) (*runtime.Native, error) {
	path, err := launch.Beside("carob-pod")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	return runtime.New(runtime.Config{Supervisor: f, Layout: layout, Users: users, RunDir: c.run})
}

// openNetworks opens the records and the built-in network, which keeps its own there.
// Only the daemon with the usual run directory uses the usual names on the host.
func openNetworks(c config, log *slog.Logger) (*store.Store, *network.Builtin, error) {
	records, err := store.Open(filepath.Join(c.run, "state"))
	if err != nil {
		return nil, nil, err
	}
	n := network.Config{Leases: records, Log: log}
	if n.Pools, err = pools(c); err != nil {
		return nil, nil, err
	}
	if n.Networks, err = store.Open(c.root); err != nil {
		return nil, nil, err
	}
	if c.run != defaultRun {
		n.Instance = c.run
	}
	return records, network.Open(n), nil
}

// pools are where networks get their subnets from. A machine has always the same ones.
func pools(c config) ([]netip.Prefix, error) {
	if len(c.pools) > 0 {
		return address.Pools(c.pools)
	}
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		name, _ := os.Hostname() // any machine has some name, be it an empty one
		machine = []byte(name)
	}
	return []netip.Prefix{address.DefaultPool4(), address.DefaultPool6(strings.TrimSpace(string(machine)))}, nil
}

// openImages opens the image store and makes the toolbox image, without which carob
// still works.
func openImages(ctx context.Context, c config, log *slog.Logger) (*image.Store, error) {
	if err := os.MkdirAll(c.root, 0o711); err != nil {
		return nil, err
	}
	images, err := image.Open(filepath.Join(c.root, "images"))
	if err != nil {
		return nil, err
	}
	path, err := launch.Beside("carob-toolbox")
	if err == nil {
		_, err = images.EnsureToolbox(ctx, path)
	}
	if err != nil {
		log.Warn("no toolbox image", "error", err)
	}
	return images, nil
}

// idRanges keeps pods' user namespaces away from what /etc/subuid and /etc/subgid
// give to others.
func idRanges(c config) (pod.Ranges, error) {
	r := pod.Ranges{First: c.idBase, Size: c.idSize, Count: ident.DefaultCount}
	for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return r, err
		}
		taken, err := ident.ParseSubIDs(f)
		_ = f.Close() // only read from
		if err != nil {
			return r, fmt.Errorf("%s: %w", path, err)
		}
		r.Taken = append(r.Taken, taken...)
	}
	return r, nil
}

func liveUIDs(e *pod.Engine) func(string) bool {
	live := map[string]bool{}
	for _, p := range e.Pods(pod.Filter{}) {
		live[p.Spec.UID] = true
	}
	return func(uid string) bool { return live[uid] }
}

func describe(c config, f host.Facts) api.Host {
	yes := map[bool]string{true: "yes", false: "no"}
	return api.Host{
		About: launch.About(version), Root: c.root, Run: c.run, Pid: os.Getpid(), Kernel: f.KernelRelease, Cgroup: f.CgroupMode,
		CPUs: f.CPUs, Memory: uint64(f.Memory), Handler: "native",
		Features: map[string]string{
			"apparmor": yes[f.AppArmor], "selinux": yes[f.SELinux], "seccomp": yes[f.Seccomp()],
			"user namespaces": yes[f.UserNamespaces], "swap limits": yes[f.SwapAccounting],
		},
	}
}
