package groups

import (
	"os"
	"strconv"

	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/procfs"
)

// Traffic reads /proc/PID/net/dev; nothing is entered.
func (g *Groups) Traffic(pid int) (*status.NetworkUse, error) {
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "network", err)
	}
	own, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, "process "+strconv.Itoa(pid), err)
	}
	if own == host {
		return nil, nil
	}
	links, err := procfs.Links(pid)
	if err != nil {
		return nil, err
	}
	var sum status.NetworkUse
	for _, l := range links {
		sum.Received += l.Received.Bytes
		sum.Sent += l.Sent.Bytes
	}
	return &sum, nil
}
