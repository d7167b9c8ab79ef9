package groups

import (
	"context"
	"os"
	"strconv"
	"strings"

	"carob/internal/status"
	"carob/internal/sys/cgroup"
)

// GroupExtremes reads what a group's memory has come to.
func (g *Groups) GroupExtremes(_ context.Context, path string) (status.Extremes, error) {
	c, err := g.layout.Open(path)
	if err != nil {
		return status.Extremes{}, err
	}
	e, err := cgroup.ReadExtremes(c)
	return status.Extremes(e), err
}

// GroupCensus counts what the processes in a group and below have: about ten system
// calls for each and one for each of their descriptors. Processes that end while they
// are counted are left out.
func (g *Groups) GroupCensus(_ context.Context, path string) (status.Census, error) {
	pids, err := g.pids(path)
	if err != nil {
		return status.Census{}, err
	}
	out := status.Census{Processes: uint64(len(pids))}
	for _, pid := range pids {
		count(pid, &out)
	}
	return out, nil
}

func count(pid int, c *status.Census) {
	dir := "/proc/" + strconv.Itoa(pid)
	threads, _ := os.ReadDir(dir + "/task") // none of one that has ended
	c.Threads += uint64(len(threads))
	descriptors, _ := os.ReadDir(dir + "/fd")
	c.Descriptors += uint64(len(descriptors))
	for _, d := range descriptors {
		if to, err := os.Readlink(dir + "/fd/" + d.Name()); err == nil && strings.HasPrefix(to, "socket:") {
			c.Sockets++
		}
	}
}
