package supervisor

import (
	"maps"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/initstage"
	"carob/internal/sys/ns"
)

// Outside changes s so that its supervisor stays in the host's user namespace, while the
// other namespaces that the pod has of its own belong to the pod's user namespace, as
// they would to a supervisor inside of it. They are those of the child, which the caller
// releases when the supervisor has been started.
func Outside(s *pod.Sandbox) (*ns.Held, error) {
	var own []string
	var flags uint64
	for _, kind := range []string{"net", "ipc", "uts"} {
		if m := s.Namespaces.Mode(kind); m == spec.Own || m == spec.None {
			own, flags = append(own, kind), flags|initstage.NamespaceFlag(kind)
		}
	}
	held, err := ns.HoldOwned(ns.Mapping{HostID: s.IDs.HostID, Size: s.IDs.Size}, flags)
	if err != nil {
		return nil, err
	}
	join := map[string]int{}
	maps.Copy(join, s.Join)
	for _, kind := range own {
		join[kind] = held.Pid
	}
	s.Join, s.IDs, s.Namespaces.User = join, status.IDMapping{}, spec.Host
	return held, nil
}
