package look

import (
	"strings"
)

// Engines by the names they are called.
const (
	Carob      = "carob"
	Docker     = "docker"
	Podman     = "podman"
	Containerd = "containerd"
	CRIO       = "cri-o"
	LXC        = "lxc"
	Nspawn     = "systemd-nspawn"
	Bwrap      = "bwrap"
	Snap       = "snap"
	Systemd    = "systemd"
)

// Trace is what a cgroup path tells by how engines name their cgroups. Paths are
// conventions, not facts: a process may make any path that it has the right to.
type Trace struct {
	// Engine is "" when the path has an ID but no engine's mark.
	Engine string
	// ID is the container's, Pod its pod's (an ID or a Kubernetes UID).
	ID, Pod string
	// Shim is true for the engine's own process beside the container.
	Shim bool
	// Unit is the innermost systemd service or scope.
	Unit string
}

// marks are the prefixes engines put before an ID when systemd makes their scopes;
// the cgroupfs driver of podman and CRI-O uses them too.
var marks = []struct {
	prefix, engine string
	shim           bool
}{
	{"docker-", Docker, false},
	{"libpod-conmon-", Podman, true},
	{"libpod-", Podman, false},
	{"crio-conmon-", CRIO, true},
	{"crio-", CRIO, false},
	{"cri-containerd-", Containerd, false},
	{"nerdctl-", Containerd, false},
	{"carob-", Carob, false},
}

// ReadPath reads a cgroup path from the outside in. Where containers are nested, the
// innermost is told.
func ReadPath(path string) Trace {
	var t Trace
	before := ""
	for seg := range strings.SplitSeq(strings.TrimSuffix(path, " (deleted)"), "/") {
		t = t.step(before, seg)
		before = seg
	}
	return t
}

func (t Trace) step(before, seg string) Trace {
	name, isScope := strings.CutSuffix(seg, ".scope")
	switch {
	case isID(seg):
		return t.plain(before, seg)
	case t.holdsSupervisor(before, seg):
		return Trace{Engine: Carob, Pod: before, Unit: t.Unit}
	case strings.HasSuffix(seg, ".service"):
		t.Unit = seg
	case isScope:
		t.Unit = seg
	}
	for _, m := range marks {
		if id, ok := strings.CutPrefix(name, m.prefix); ok && isID(id) {
			pod := t.Pod
			if t.ID == before && t.Engine == "" { // podman's pod below a parent of the user's choice
				pod = before
			}
			return Trace{Engine: m.engine, ID: id, Pod: pod, Shim: m.shim, Unit: t.Unit}
		}
	}
	if uid := podUID(seg); uid != "" {
		return Trace{Pod: uid, Unit: t.Unit}
	}
	return t.named(before, seg)
}

// holdsSupervisor reports whether seg is the group of a carob supervisor, which on cgroup
// v2 is beside those of the pod's containers.
func (t Trace) holdsSupervisor(before, seg string) bool {
	return seg == "supervisor" && isID(before) && t.ID == before && (t.Engine == Carob || t.Engine == "")
}

// plain is a segment that is nothing but an ID: what it means is said by what stands
// before.
func (t Trace) plain(before, id string) Trace {
	next := Trace{ID: id, Unit: t.Unit}
	switch {
	case t.ID == id: // a pod's group in the scope that systemd has made for it
		return t
	case before == Docker:
		next.Engine = Docker
	case before == Carob, before == "carob.slice":
		next.Engine = Carob
	case before == "libpod_parent": // podman with cgroupfs: a pod's cgroup
		return Trace{Engine: Podman, Pod: id, Unit: t.Unit}
	case t.ID == before && t.ID != "": // POD/CONTAINER
		next.Engine, next.Pod = t.Engine, before
	case t.Pod != "" && t.ID == "": // kubepods/…/podUID/ID
		next.Engine, next.Pod = Containerd, t.Pod
	}
	return next
}

// named are engines that let people choose the names.
func (t Trace) named(before, seg string) Trace {
	for _, m := range []struct{ prefix, suffix, engine string }{
		{"lxc.payload.", "", LXC},
		{"lxc.monitor.", "", LXC},
		{"systemd-nspawn@", ".service", Nspawn},
		{"machine-", ".scope", Nspawn},
	} {
		rest, ok := strings.CutPrefix(seg, m.prefix)
		name, also := strings.CutSuffix(rest, m.suffix)
		if ok && also && name != "" && !strings.HasPrefix(rest, "libpod") {
			return Trace{Engine: m.engine, ID: strings.ReplaceAll(name, `\x2d`, "-"), Shim: m.prefix == "lxc.monitor.", Unit: t.Unit}
		}
	}
	if (before == "lxc" || before == "lxc.payload") && seg != "" {
		return Trace{Engine: LXC, ID: seg, Unit: t.Unit}
	}
	return t
}

// podUID is the pod in a segment of kubelet's or podman's: "podUID",
// "kubepods-burstable-podUID.slice", "machine-libpod_pod_ID.slice".
func podUID(seg string) string {
	name, isSlice := strings.CutSuffix(seg, ".slice")
	if _, id, ok := strings.Cut(name, "libpod_pod_"); ok && isID(id) {
		return id
	}
	if isSlice {
		if !strings.HasPrefix(name, "kubepods-") {
			return ""
		}
		name = name[strings.LastIndexByte(name, '-')+1:]
	}
	uid, ok := strings.CutPrefix(name, "pod")
	uid = strings.ReplaceAll(uid, "_", "-")
	if !ok || len(uid) < 32 || strings.Trim(uid, "0123456789abcdef-") != "" {
		return "" // static pods have a hash of 32 digits as their UID
	}
	return uid
}

// isID reports whether s is an ID as all engines make them: 64 hexadecimal digits.
func isID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// trace chooses among a process's cgroups: the first path that tells a container,
// else a pod or unit. All hierarchies agree unless somebody moved the process.
func trace(places []Place) (Trace, Place) {
	var best Trace
	var at Place
	before := ""
	for _, p := range places {
		if p.Path == before || p.Path == "/" { // mostly the same in every hierarchy
			continue
		}
		before = p.Path
		t := ReadPath(p.Path)
		if t.weight() > best.weight() {
			best, at = t, p
		}
	}
	return best, at
}

func (t Trace) weight() int {
	switch {
	case t.ID != "" && t.Engine != "":
		return 4
	case t.ID != "":
		return 3
	case t.Pod != "":
		return 2
	case t.Unit != "":
		return 1
	}
	return 0
}
