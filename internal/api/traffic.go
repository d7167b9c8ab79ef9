package api

import (
	"os"
	"strconv"

	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/procfs"
)

// traffic adds what containers' networks have carried. It is read by their processes and
// enters nothing.
func (s *views) traffic(all []status.Stats) error {
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return fault.Wrap(fault.Internal, "stats: network", err)
	}
	for i := range all {
		c, err := s.s.Engine.Container(all[i].ID)
		if err != nil || c.Pid == 0 {
			continue // it has ended meanwhile
		}
		own, err := os.Readlink("/proc/" + strconv.Itoa(c.Pid) + "/ns/net")
		if err != nil || own == host {
			continue
		}
		links, err := procfs.Links(c.Pid)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return fault.Wrap(fault.KindOf(err), "container "+c.Name+": stats: network", err)
		}
		var sum status.NetworkUse
		for _, l := range links {
			sum.Received += l.Received.Bytes
			sum.Sent += l.Sent.Bytes
		}
		all[i].Network = &sum
	}
	return nil
}
