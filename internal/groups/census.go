package groups

import (
	"context"
	"os"
	"strconv"
	"strings"

	"carob/internal/status"
	"carob/internal/sys/cgroup"
)

// GroupCensus counts what the processes in a group and below have: about ten system
// calls for each and one for each of their descriptors. Processes that end while they
// are counted are left out.
func (g *Groups) GroupCensus(_ context.Context, path string) (status.Census, error) {
	c, err := g.layout.Open(path)
	if err != nil {
		return status.Census{}, err
	}
	extremes, err := cgroup.ReadExtremes(c)
	if err != nil {
		return status.Census{}, err
	}
	pids, err := c.Procs()
	if err != nil {
		return status.Census{}, err
	}
	out := status.Census{
		Processes: uint64(len(pids)), MemoryPeak: extremes.Peak, MemoryKernel: extremes.Kernel,
		MemoryMapped: extremes.Mapped, MemoryFailures: extremes.Failures,
	}
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
