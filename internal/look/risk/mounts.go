package risk

import (
	"path"
	"slices"
	"strings"

	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/ink"
	"carob/internal/look/mounts"
)

// delicate are directories of the host by which it is ruled or whose content is secret.
func delicate() []string {
	return []string{
		"/etc", "/root", "/boot", "/dev", "/bin", "/sbin", "/lib", "/lib64", "/usr", "/var", "/run", "/home", "/proc", "/sys",
		"/var/lib/docker", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/containers", "/var/lib/carob", "/var/log", "/var/run",
	}
}

// given are the files that engines put into every container.
func given() []string {
	return []string{
		"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log", "/run/.containerenv", "/dev/shm", "/dev/console",
		"/run/secrets/kubernetes.io/serviceaccount", "/var/run/secrets/kubernetes.io/serviceaccount",
	}
}

// mounts judges what it sees mounted.
func (j *judge) mounts() {
	shown := map[string]string{} // mount points by the host's path
	for _, m := range j.Mounts {
		p := mounts.HostPath(j.Outside, m)
		if slices.Contains(given(), m.Point) || p != "" && below(shown, m.Point, p) {
			continue // what comes along with a directory is told with it
		}
		if _, is := j.IsHostPath(m); is {
			shown[m.Point] = p
			j.hostPath(m, p)
		}
		j.kernel(m)
	}
	j.cgroups()
	j.proc()
	j.hidden()
}

// below reports whether a mount shows what a mount above it shows already.
func below(shown map[string]string, point, p string) bool {
	for above, from := range shown {
		if rest, ok := strings.CutPrefix(point, above+"/"); ok && above != "/" && path.Join(from, rest) == p {
			return true
		}
	}
	return false
}

// mounted adds a finding about a mount; its line in mountinfo is the evidence.
func (j *judge) mounted(sev Severity, m mounts.Mount, t text) {
	j.r.Findings = append(j.r.Findings, Finding{sev, t.title, t.why, t.close, j.File("mountinfo") + ": " + m.Point})
}

// hostPath judges a directory or file of the host.
func (j *judge) hostPath(m mounts.Mount, p string) {
	how := "writable"
	if m.ReadOnly() {
		how = "read-only"
	}
	sees := "sees the host's " + p + " at " + m.Point + ", " + how
	switch {
	case j.socket(p) != "":
		j.mounted(j.pick(Critical, High), m, text{
			"has an engine's socket: " + j.socket(p) + " at " + path.Join(m.Point, strings.TrimPrefix(j.socket(p), p)),
			"who talks to the engine can start a container with all rights; read-only does not hinder it",
			"do not mount it; put a proxy before it that lets only what is needed through",
		})
	case m.Point == "/" && p == "/":
		j.mounted(j.pick(Critical, High), m, text{"has the host's root directory for its own", "its files are the host's files", "give it a root file system of its own (an image)"})
	case m.Point == "/" || belongs(j.Thing, p):
	case p == "/" && !m.ReadOnly():
		j.mounted(j.pick(Critical, High), m, text{sees, "it can change programs and passwords of the host", "mount only the directory it needs, read-only"})
	default:
		j.directory(m, p, sees)
	}
}

// directory judges a part of the host's files by how delicate it is.
func (j *judge) directory(m mounts.Mount, p, sees string) {
	t := text{sees, "secrets, sockets or programs of the host are in it", "mount only what it needs, read-only"}
	whole, below := p == "/" || slices.Contains(delicate(), p), slices.ContainsFunc(delicate(), func(d string) bool { return mounts.Under(p, d) })
	switch {
	case p == "/", whole && !m.ReadOnly():
		j.mounted(j.pick(High, Medium), m, t)
	case whole, below && !m.ReadOnly():
		j.mounted(j.pick(Medium, Low), m, t)
	case !m.ReadOnly():
		t.why, t.close = "what it writes there, others may believe", "mount it read-only if it only reads"
		j.mounted(Low, m, t)
	}
}

// belongs reports whether a path is what an engine made for this very thing: a volume
// of its pod, its own files.
func belongs(t look.Thing, p string) bool {
	return strings.Contains(p, "/docker/volumes/") || strings.Contains(p, "/containers/storage/volumes/") ||
		t.Pod != nil && strings.Contains(p, t.Pod.ID) || t.Container != nil && t.Container.ID != "" && strings.Contains(p, t.Container.ID)
}

// socket is the engine's socket that a path of the host is or has in it, "" for none.
// The host's root directory is judged by itself.
func (j *judge) socket(p string) string {
	for _, s := range facts.Sockets() {
		if p == s || p != "/" && mounts.Under(s, p) && slices.Contains(j.Sockets, s) {
			return s
		}
	}
	for _, name := range []string{"/docker.sock", "/podman.sock", "/containerd.sock"} {
		if strings.HasSuffix(p, name) {
			return p
		}
	}
	return ""
}

// kernel judges file systems of the kernel.
func (j *judge) kernel(m mounts.Mount) {
	switch m.Type {
	case "sysfs":
		if !m.ReadOnly() && j.ruled {
			j.mounted(High, m, text{"can write to /sys", "devices and helpers of the kernel are set there (uevent_helper)", "mount sysfs read-only"})
		}
	case "debugfs", "tracefs", "securityfs", "bpf", "configfs", "devtmpfs":
		if m.Root == "/" {
			j.mounted(j.pick(High, Medium), m, text{"has " + m.Type + " at " + m.Point, "it is the whole machine's", "do not mount it"})
		}
	}
}

// cgroups judges trees of control groups that can be written, all of them as one.
func (j *judge) cgroups() {
	var points []string
	v1 := false
	for _, m := range j.Mounts {
		if (m.Type == "cgroup" || m.Type == "cgroup2") && !m.ReadOnly() {
			points, v1 = append(points, m.Point), v1 || m.Type == "cgroup"
		}
	}
	if len(points) == 0 {
		return
	}
	t := text{"can write to control groups at " + points[0], "it can lift its own limits", "mount cgroup read-only, and use a private cgroup namespace"}
	if len(points) > 1 {
		t.title += " and " + ink.Count(len(points)-1, "other place", "other places")
	}
	sev := j.pick(Medium, Low)
	if v1 && facts.Has(j.Process.Caps.Effective, "sys_admin") && j.ruled {
		sev, t.why = Critical, "with CAP_SYS_ADMIN it can have the host run a program (release_agent)"
	}
	j.add(sev, t, "mountinfo")
}

// proc judges the switches in /proc that act on the whole machine. Who may write them is
// the host's root: in a user namespace of its own it is not.
func (j *judge) proc() {
	if !j.ruled || j.UID != 0 {
		return
	}
	for _, f := range []struct {
		path, why string
		sev       Severity
	}{
		{"/proc/sys/kernel/core_pattern", "the kernel runs the program written there as root on the host", High},
		{"/proc/sysrq-trigger", "a letter written there restarts the machine", Medium},
	} {
		if m, ok := mounts.Over(j.Mounts, f.path); ok && slices.Contains(j.Switches, f.path) && m.Type == "proc" && !m.ReadOnly() {
			j.mounted(f.sev, m, text{"can write to " + f.path, f.why, "leave /proc/sys and /proc/sysrq-trigger read-only, as engines do by default"})
		}
	}
}

// hidden judges files that engines hide and it sees.
func (j *judge) hidden() {
	var open, closed []string
	for _, p := range j.Exposed {
		if m, ok := mounts.Over(j.Mounts, p); ok && (m.Type == "proc" || m.Type == "sysfs") && m.Root == "/" {
			open = append(open, p)
		} else {
			closed = append(closed, p)
		}
	}
	if len(open) == 0 {
		if len(closed) > 0 {
			j.holds(ink.Count(len(closed), "file of the whole machine is hidden", "files of the whole machine are hidden") + " from it")
		}
		return
	}
	j.add(j.pick(Medium, Low), text{"sees " + ink.List(open), "they tell of the whole machine: memory, keys, timers, hardware", "leave the masked paths of the engine on"}, "mountinfo")
}
