package cri

import (
	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/procfs"
)

// readLinks reads the counters of the interfaces in a pod's network namespace, by the
// process that holds it. A pod in the host's has none: they are not its own, and there is
// one for every other pod, so that the answer would grow with the square of the pods.
func readLinks(p status.Pod) ([]procfs.Link, error) {
	if p.Spec.Namespaces.Net == spec.Host {
		return nil, nil
	}
	links, err := procfs.Links(p.Pid)
	if fault.Is(err, fault.NotFound) {
		return nil, nil // it ended meanwhile
	}
	return links, err
}
