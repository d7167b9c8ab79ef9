package oci

import (
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ident"
	"carob/internal/plan/selinux"
	"carob/internal/spec"
)

const (
	defaultPath  = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	defaultUmask = 0o022
	// maxHostname is the kernel's __NEW_UTS_LEN.
	maxHostname = 64
)

// process plans the container's first process; caps are those of a root.
func (p *planner) process(caps *specs.LinuxCapabilities) (*specs.Process, error) {
	args, err := command(p.c, p.r.Image.Entrypoint, p.r.Image.Cmd)
	if err != nil {
		return nil, err
	}
	id := p.r.Identity
	if p.c.Security.NonRoot && id.UID == 0 {
		return nil, fault.New(fault.Invalid, "user: the container must not run as root, but image "+clip(p.c.Image)+" and the request make it uid 0: give another user")
	}
	env, err := p.environment()
	if err != nil {
		return nil, err
	}
	cwd, err := workingDir(p.c.WorkingDir, p.r.Image.WorkingDir)
	if err != nil {
		return nil, err
	}
	out := &specs.Process{
		Terminal:        p.c.TTY,
		User:            user(id),
		Args:            args,
		Env:             env,
		Cwd:             cwd,
		Capabilities:    ident.ForUser(caps, id.UID),
		NoNewPrivileges: p.c.Security.NoNewPrivileges,
		Scheduler:       p.c.Scheduler,
		IOPriority:      p.c.IOPriority,
	}
	if out.Rlimits, err = rlimits(p.c.Rlimits); err != nil {
		return nil, err
	}
	out.Rlimits = withOpenFiles(out.Rlimits, p.r.Facts.MaxOpenFiles)
	if out.OOMScoreAdj, err = p.oomScoreAdj(); err != nil {
		return nil, err
	}
	out.SelinuxLabel = p.labels.Process
	out.ApparmorProfile, err = p.appArmor()
	return out, err
}

// Command is the argument vector: Docker's and Kubernetes' rule. A Command replaces the
// image's Entrypoint and drops its Cmd, Args replace its Cmd.
func Command(c *spec.Container, entrypoint, cmd []string) []string {
	if len(c.Command) > 0 {
		entrypoint, cmd = c.Command, nil
	}
	if len(c.Args) > 0 {
		cmd = c.Args
	}
	return slices.Concat(entrypoint, cmd)
}

func command(c *spec.Container, entrypoint, cmd []string) ([]string, error) {
	out := Command(c, entrypoint, cmd)
	if len(out) == 0 || out[0] == "" {
		return nil, fault.New(fault.Invalid, "image "+clip(c.Image)+" has no command: give one")
	}
	return out, noNUL("command", out)
}

func noNUL(what string, words []string) error {
	for i, w := range words {
		if strings.IndexByte(w, 0) >= 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("%s: word %d holds a NUL", what, i))
		}
	}
	return nil
}

func user(id ident.Identity) specs.User {
	umask := uint32(defaultUmask)
	return specs.User{UID: id.UID, GID: id.GID, Umask: &umask, AdditionalGids: slices.Clone(id.Groups)}
}

// workingDir takes the asked directory, else the image's, else the root. The
// image's is cleaned because images write "." and "app".
func workingDir(asked, image string) (string, error) {
	if asked != "" {
		if !path.IsAbs(asked) || strings.IndexByte(asked, 0) >= 0 || len(asked) > maxPath {
			return "", fault.New(fault.Invalid, "working directory \""+clip(asked)+"\" is not an absolute path")
		}
		return path.Clean(asked), nil
	}
	if strings.IndexByte(image, 0) >= 0 || len(image) > maxPath {
		return "", fault.New(fault.Invalid, "working directory \""+clip(image)+"\" of the image is not a path")
	}
	return path.Clean("/" + image), nil
}

// environment is built in Docker's order: what the runtime knows, the image, the
// request; HOME when nobody said.
func (p *planner) environment() ([]string, error) {
	e := newEnviron(4 + len(p.r.Image.Env) + len(p.c.Env))
	e.set(defaultPath)
	if p.r.Hostname != "" {
		e.set("HOSTNAME=" + p.r.Hostname)
	}
	if p.c.TTY {
		e.set("TERM=xterm")
	}
	for _, w := range p.r.Image.Env {
		if strings.IndexByte(w, '=') > 0 { // an image's bare word says nothing
			e.set(w)
		}
	}
	if err := e.override(p.c.Env); err != nil {
		return nil, err
	}
	return e.finish(p.r.Identity.Home)
}

// environ is a list of KEY=value words with one word per key.
type environ struct {
	words []string
	at    map[string]int
}

func newEnviron(n int) *environ {
	return &environ{words: make([]string, 0, n), at: make(map[string]int, n)}
}

func (e *environ) set(word string) {
	key, _, _ := strings.Cut(word, "=")
	if i, ok := e.at[key]; ok {
		e.words[i] = word
		return
	}
	e.at[key] = len(e.words)
	e.words = append(e.words, word)
}

func (e *environ) unset(key string) {
	if i, ok := e.at[key]; ok {
		e.words[i] = "" // dropped by finish
		delete(e.at, key)
	}
}

// override applies KEY=value words in order; a bare KEY takes the variable away.
func (e *environ) override(words []string) error {
	for _, w := range words {
		key, _, assigned := strings.Cut(w, "=")
		switch {
		case key == "":
			return fault.New(fault.Invalid, "env \""+clip(w)+"\": no name before the =")
		case assigned:
			e.set(w)
		default:
			e.unset(w)
		}
	}
	return nil
}

// finish adds HOME and returns the words. A HOME with a line break is refused: such
// a value once became a line of /etc/passwd (CVE-2022-4318, CVE-2026-15809).
func (e *environ) finish(home string) ([]string, error) {
	if home == "" {
		home = "/"
	}
	if i, ok := e.at["HOME"]; !ok {
		e.set("HOME=" + home)
	} else if e.words[i] == "HOME=" {
		e.words[i] += home
	}
	if h := e.words[e.at["HOME"]]; strings.ContainsAny(h, "\n\r\x00") {
		return nil, fault.New(fault.Invalid, "env HOME: \""+clip(h[len("HOME="):])+"\" holds a line break or NUL")
	}
	out := slices.DeleteFunc(e.words, func(w string) bool { return w == "" })
	return out, noNUL("env", out)
}

// rlimits checks names and order; the kernel checks privileges.
func rlimits(in []specs.POSIXRlimit) ([]specs.POSIXRlimit, error) {
	for i, l := range in {
		switch {
		case !isRlimit(l.Type):
			return nil, fault.New(fault.Invalid, "rlimit \""+clip(l.Type)+"\": no such limit, want RLIMIT_NOFILE and the like")
		case l.Soft > l.Hard:
			return nil, fault.New(fault.Invalid, fmt.Sprintf("rlimit %s: soft limit %d is above hard limit %d", l.Type, l.Soft, l.Hard))
		case slices.ContainsFunc(in[:i], func(o specs.POSIXRlimit) bool { return o.Type == l.Type }):
			return nil, fault.New(fault.Invalid, "rlimit "+l.Type+": asked for twice")
		}
	}
	return slices.Clone(in), nil
}

// withOpenFiles adds systemd's default of open files where nothing is asked for. The
// soft limit is what select(2) can handle, and what programs that walk all possible
// descriptors can bear: a daemon's own, raised for itself, would reach every container.
func withOpenFiles(asked []specs.POSIXRlimit, most uint64) []specs.POSIXRlimit {
	const name, soft, hard = "RLIMIT_NOFILE", 1024, 524288
	if most == 0 || slices.ContainsFunc(asked, func(l specs.POSIXRlimit) bool { return l.Type == name }) {
		return asked
	}
	return append(asked, specs.POSIXRlimit{Type: name, Soft: min(soft, most), Hard: min(hard, most)})
}

// isRlimit knows the names of setrlimit(2).
func isRlimit(name string) bool {
	switch name {
	case "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE",
		"RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK":
		return true
	}
	return false
}

// oomScoreAdj is the asked value, raised to the lowest that this host lets the
// supervisor give: a kubelet asks for -997 wherever it runs.
func (p *planner) oomScoreAdj() (*int, error) {
	if p.c.OOMScoreAdj == nil {
		return nil, nil
	}
	n := *p.c.OOMScoreAdj
	if n < -1000 || n > 1000 {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("oom score adjustment %d is not from -1000 to 1000", n))
	}
	n = p.r.Facts.ClampOOMScoreAdj(n)
	return &n, nil
}

// AppArmorProfile is the AppArmor profile of containers that ask for none.
const AppArmorProfile = "carob-default"

// appArmor is the process's profile. Nothing asked is the default profile where it is
// loaded, as Docker and the kubelet's users know it; asked for by name, it must be.
func (p *planner) appArmor() (string, error) {
	s, facts := p.c.Security, p.r.Facts
	switch {
	case s.AppArmor == "unconfined", s.AppArmor == "" && (s.Privileged || !facts.DefaultProfile):
		return "", nil
	case s.AppArmor == "":
		return AppArmorProfile, nil
	case !facts.AppArmor:
		return "", fault.New(fault.Unsupported, "apparmor profile \""+clip(s.AppArmor)+"\": this host does not run AppArmor")
	case s.AppArmor == "default" && !facts.DefaultProfile:
		return "", fault.New(fault.Unsupported, "apparmor profile default: the daemon could not load it (is apparmor_parser installed?)")
	case s.AppArmor == "default":
		return AppArmorProfile, nil
	}
	return s.AppArmor, noNUL("apparmor profile", []string{s.AppArmor})
}

// seLinux is the container's labels. One that was asked for is refused where the host does
// not run SELinux: the process would be less confined than it was asked to be. As with
// Docker and CRI-O a container that is privileged, or sees the host's processes or shared
// memory, keeps the daemon's domain.
func (p *planner) seLinux() (selinux.Labels, error) {
	f, requests := p.r.Facts, []string{p.pod.SELinux, p.c.Security.SELinux}
	if !f.SELinux {
		for _, label := range requests {
			if label != "" && label != selinux.Disable {
				return selinux.Labels{}, fault.New(fault.Unsupported, "selinux label \""+clip(label)+"\": this host does not run SELinux")
			}
		}
		return selinux.Labels{}, nil
	}
	pid := p.r.Namespaces.PID
	open := pid == spec.Host || pid == spec.OfPod && p.pod.Namespaces.PID == spec.Host || (tree{p}).ipc() == spec.Host
	if p.privileged || open && requests[0]+requests[1] == "" {
		requests = append(requests, selinux.Disable)
	}
	return selinux.Labels{Process: f.SELinuxProcess, Mount: f.SELinuxFile}.With(p.r.Level, requests...)
}

// checkHostname keeps what becomes a file's content and an environment variable to
// letters, digits, dots, dashes and underscores.
func checkHostname(h string) error {
	if len(h) > maxHostname {
		return fault.New(fault.Invalid, fmt.Sprintf("hostname \"%s\" is longer than %d bytes", clip(h), maxHostname))
	}
	for i := range len(h) {
		c := h[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !isDigit(c) && c != '-' && c != '.' && c != '_' {
			return fault.New(fault.Invalid, "hostname \""+clip(h)+"\" holds more than letters, digits, '.', '-' and '_'")
		}
	}
	return nil
}
