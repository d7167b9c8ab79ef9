package ask

import (
	"encoding/json"
	"strings"

	"github.com/spf13/pflag"

	"carob/internal/fault"
	"carob/internal/spec"
)

// Instructions are those that Changes reads.
const Instructions = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR, STOPSIGNAL"

// Changes reads the instructions of `import --change`, written as in a Dockerfile.
func Changes(words []string) (spec.ImageConfig, error) {
	var c spec.ImageConfig
	for _, w := range words {
		verb, rest, _ := strings.Cut(strings.TrimSpace(w), " ")
		rest = strings.TrimSpace(rest)
		if rest == "" {
			return c, bad("change", w, "nothing after "+verb)
		}
		verb = strings.ToUpper(verb)
		if verb == "ENV" && !strings.Contains(rest, "=") {
			return c, bad("change", w, "not ENV NAME=VALUE")
		}
		if !replaced(&c, verb, rest) && !added(&c, verb, rest) {
			return c, bad("change", w, "unknown or unsupported instruction")
		}
	}
	return c, nil
}

// replaced carries out an instruction whose last one counts.
func replaced(c *spec.ImageConfig, verb, rest string) bool {
	switch verb {
	case "CMD":
		c.Cmd = argv(rest)
	case "ENTRYPOINT":
		c.Entrypoint = argv(rest)
	case "USER":
		c.User = rest
	case "WORKDIR":
		c.WorkingDir = rest
	case "STOPSIGNAL":
		c.StopSignal = rest
	default:
		return false
	}
	return true
}

// added carries out an instruction that adds to what is there.
func added(c *spec.ImageConfig, verb, rest string) bool {
	switch verb {
	case "ENV":
		c.Env = append(c.Env, rest)
	case "LABEL":
		k, v, _ := strings.Cut(rest, "=")
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		c.Labels[k] = v
	case "EXPOSE":
		c.ExposedPorts = addAll(c.ExposedPorts, ports(rest))
	case "VOLUME":
		c.Volumes = addAll(c.Volumes, list(rest))
	default:
		return false
	}
	return true
}

// addAll adds words to a set, which may be nil.
func addAll(set map[string]struct{}, words []string) map[string]struct{} {
	if set == nil {
		set = map[string]struct{}{}
	}
	for _, w := range words {
		set[w] = struct{}{}
	}
	return set
}

// ports completes ports with the protocol that they mean.
func ports(s string) []string {
	all := strings.Fields(s)
	for i, p := range all {
		if !strings.Contains(p, "/") {
			all[i] = p + "/tcp"
		}
	}
	return all
}

// list is a JSON list, or else words.
func list(s string) []string {
	var all []string
	if json.Unmarshal([]byte(s), &all) == nil {
		return all
	}
	return strings.Fields(s)
}

// argv is a JSON list, or else a line for the shell.
func argv(s string) []string {
	var list []string
	if json.Unmarshal([]byte(s), &list) == nil {
		return list
	}
	return []string{"/bin/sh", "-c", s}
}

// Labels reads --selector words KEY=VALUE.
func Labels(words []string) (map[string]string, error) { return pairs("selector", words) }

// Pod are the flags of pod create.
type Pod struct {
	r        Run
	sharePID bool
	name     string
	handler  string
}

// Bind registers the flags.
func (p *Pod) Bind(fs *pflag.FlagSet) {
	r := &p.r
	r.fs = fs
	r.Limits.Bind(fs)
	fs.StringVar(&p.name, "name", "", "name of the pod")
	fs.BoolVar(&p.sharePID, "share-pid", false, "share one PID namespace among the pod's containers")
	r.net.bind(fs)
	_ = fs.MarkHidden("publish-all") // no image is named here
	fs.StringVar(&r.ipc, "ipc", "", "IPC namespace: private, host, container:`NAME`")
	fs.StringVar(&r.pid, "pid", "", "PID namespace: private, host, container:`NAME`")
	fs.StringVar(&r.uts, "uts", "", "UTS namespace: private, host, container:`NAME`")
	fs.StringVar(&r.user, "userns", "", "user namespace: private, host, container:`NAME`")
	fs.StringVar(&r.cgroupParent, "cgroup-parent", "", "cgroup to make the pod's cgroup in: an absolute path, or a slice of systemd's")
	fs.StringVar(&r.hostname, "hostname", "", "host name in the pod")
	fs.StringVar(&r.shm, "shm-size", "", "size of /dev/shm in `BYTES`; 64m when not given")
	fs.StringVar(&p.handler, "runtime", "", "`NAME` of the handler that runs the pod: native, or an OCI runtime that carob info lists")
	fs.VarP((*List)(&r.labels), "label", "l", "label `KEY=VALUE`")
	fs.Var((*List)(&r.annotations), "annotation", "annotation `KEY=VALUE`")
	fs.Var((*List)(&r.sysctls), "sysctl", "kernel parameter `NAME=VALUE` of the pod's namespaces")
	fs.Var((*List)(&r.addHosts), "add-host", "line of /etc/hosts `NAME:IP`")
	fs.Var((*List)(&r.dns), "dns", "name server")
	fs.Var((*List)(&r.dnsSearches), "dns-search", "DNS search domain")
	fs.Var((*List)(&r.dnsOptions), "dns-option", "resolver option")
}

// Translate turns the flags, and a name as only word, into a request.
func (p *Pod) Translate(words []string, h Host) (spec.Pod, error) {
	if len(words) == 1 && p.name != "" {
		return spec.Pod{}, clash("name", "the name is given twice")
	}
	if len(words) == 1 {
		p.name = words[0]
	}
	var q Request
	for _, step := range []func(*Request, Host) error{p.r.world, p.r.namespaces} {
		if err := step(&q, h); err != nil {
			return spec.Pod{}, err
		}
	}
	s := q.Pod
	s.Name, s.Owner, s.Handler = p.name, "cli", p.handler
	if p.sharePID {
		if s.Namespaces.PID != "" {
			return s, fault.New(fault.Invalid, "--share-pid: conflicts with --pid")
		}
		s.Namespaces.PID = spec.OfPod
	}
	var err error
	if s.Labels, err = pairs("label", p.r.labels); err != nil {
		return s, err
	}
	if s.Annotations, err = pairs("annotation", p.r.annotations); err != nil {
		return s, err
	}
	s.Resources, err = p.r.Limits.Resources(h)
	return s, err
}
