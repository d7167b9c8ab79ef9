package ask

import (
	"strings"

	"carob/internal/spec"
)

// namespaces translates the namespace flags and what hangs on them. A solo pod takes
// the modes itself; in an existing pod they are the container's own choice.
func (r *Run) namespaces(q *Request, _ Host) error {
	n, err := r.modes()
	if err != nil {
		return err
	}
	if r.privileged && n.User == "" {
		n.User = spec.Host // Docker: privileged means the host's ids
	}
	if err := r.net.translate(q, n.Net); err != nil {
		return err
	}
	if r.pod != "" && len(q.Pod.Networks) > 0 {
		return clash("network "+q.Pod.Networks[0].Network, "belongs to the pod; it cannot be set for one container in "+r.pod)
	}
	if err := r.names(n.UTS); err != nil {
		return err
	}
	if r.pod != "" {
		return r.inPod(q, n)
	}
	for _, kind := range spec.Kinds() {
		if n.Mode(kind) == spec.OfPod {
			return clash(flagOf(kind), "pod needs --pod NAME")
		}
	}
	q.Container.Namespaces.Cgroup, n.Cgroup = n.Cgroup, ""
	q.Pod.Namespaces, q.Pod.CgroupParent, q.Pod.Hostname = n, r.cgroupParent, r.hostname
	return nil
}

// names checks what is named from outside: the cgroup and the host.
func (r *Run) names(uts spec.Mode) error {
	if r.cgroupParent != "" && !strings.HasPrefix(r.cgroupParent, "/") {
		return bad("cgroup-parent", r.cgroupParent, "must be an absolute cgroup path, like /pod-foo")
	}
	if _, joined := uts.Container(); r.hostname != "" && (joined || uts == spec.Host) {
		return clash("hostname", "conflicts with --uts "+string(uts)+": the name would be another's")
	}
	return nil
}

func (r *Run) inPod(q *Request, n spec.Namespaces) error {
	q.PodRef = r.pod
	q.Container.Namespaces, q.Container.CgroupParent, q.Container.Hostname = n, r.cgroupParent, r.hostname
	if r.hostname != "" && n.UTS != spec.Own {
		return clash("hostname", "in a pod needs --uts private: the name would be the whole pod's")
	}
	return nil
}

func flagOf(kind string) string {
	switch kind {
	case "net":
		return "network"
	case "user":
		return "userns"
	case "cgroup":
		return "cgroupns"
	}
	return kind
}

func (r *Run) modes() (spec.Namespaces, error) {
	var n spec.Namespaces
	words := map[string]string{
		"net": r.net.mode(), "ipc": r.ipc, "uts": r.uts, "pid": r.pid, "user": r.user, "cgroup": r.cgroup,
	}
	for _, kind := range spec.Kinds() {
		word := words[kind]
		m, err := spec.ParseMode(kind, word)
		if err != nil {
			return n, bad(flagOf(kind), word, "use "+choices(kind))
		}
		if _, ok := m.Container(); ok && kind == "cgroup" {
			return n, bad("cgroupns", word, "use "+choices(kind))
		}
		n = n.With(kind, m)
	}
	return n, nil
}

func choices(kind string) string {
	switch kind {
	case "cgroup":
		return "private or host"
	case "net", "ipc":
		return "private, host, none or container:NAME"
	}
	return "private, host or container:NAME"
}

// podOnly refuses in an existing pod what belongs to the pod.
func (r *Run) podOnly(q *Request, _ Host) error {
	if r.pod == "" {
		return nil
	}
	for _, flag := range []string{"sysctl", "add-host", "dns", "dns-search", "dns-option", "shm-size", "userns", "runtime",
		"publish", "publish-all", "ip", "ip6", "mac-address", "network-alias"} {
		if r.fs.Changed(flag) {
			return clash(flag, "belongs to the pod; it cannot be set for one container in "+r.pod)
		}
	}
	q.Container.Namespaces.User = "" // the pod's, whatever --privileged prefers
	return nil
}
