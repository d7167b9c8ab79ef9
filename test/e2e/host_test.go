package e2e

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// A snapshot is what of one machine can be seen on the host, as lines.
type snapshot map[string]bool

// since returns the lines that are not in an earlier snapshot.
func (s snapshot) since(before snapshot) string {
	var left []string
	for l := range s {
		if !before[l] {
			left = append(left, "  "+l+"\n")
		}
	}
	sort.Strings(left)
	return strings.Join(left, "")
}

// look takes a snapshot: processes, mounts, cgroups, files of the machine, and the
// host's links and nftables.
func (m *machine) look() snapshot {
	s := snapshot{}
	for _, l := range m.processes() {
		s["process "+l] = true
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for l := range strings.Lines(string(mounts)) {
		if strings.Contains(l, m.dir) {
			s["mount "+strings.TrimSpace(l)] = true
		}
	}
	for _, dir := range append(cgroups(m.parent), cgroups("/carob")...) {
		if strings.Contains(dir, m.parent) || m.isPod(dir) {
			s["cgroup "+dir] = true
		}
	}
	for _, l := range m.files() {
		s["file "+l] = true
	}
	links, _ := net.Interfaces()
	for _, l := range links {
		if strings.HasPrefix(l.Name, "carob") || strings.HasPrefix(l.Name, "veth") {
			s["link "+l.Name] = true
		}
	}
	return s
}

// isPod reports whether a cgroup belongs to a pod of the machine.
func (m *machine) isPod(dir string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.pods {
		if id != "" && strings.Contains(dir, id) {
			return true
		}
	}
	return false
}

// processes lists the processes that belong to the machine: those that run one of
// its binaries, are in a cgroup of its own, or trace their crashes in its directory.
func (m *machine) processes() []string {
	var found []string
	ahead := m.ahead()
	for _, p := range pids() {
		if m.supervises(p) && ahead[m.podOf(p)] {
			continue
		}
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p))
		group, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", p))
		if strings.HasPrefix(exe, m.dir+"/") || strings.Contains(string(group), m.parent) || m.supervises(p) {
			cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
			found = append(found, fmt.Sprintf("%d %s", p, strings.TrimSpace(strings.ReplaceAll(string(cmd), "\x00", " "))))
		}
	}
	return found
}

// supervisors returns the pids of the machine's pod supervisors, without those that the
// daemon has made ahead.
func (m *machine) supervisors() []int { return m.holding(false) }

// idle returns the pids of those made ahead.
func (m *machine) idle() []int { return m.holding(true) }

func (m *machine) holding(made bool) (found []int) {
	ahead := m.ahead()
	for _, p := range pids() {
		if m.supervises(p) && ahead[m.podOf(p)] == made {
			found = append(found, p)
		}
	}
	return found
}

// ahead returns the pods whose sandboxes the daemon has made before somebody asked: those
// that have a directory and no record. There are two at most, and none without a daemon.
func (m *machine) ahead() map[string]bool {
	const most = 2
	found := map[string]bool{}
	dirs, _ := os.ReadDir(filepath.Join(m.dir, "run/pods"))
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(m.dir, "run/state/pod", d.Name()+".json")); os.IsNotExist(err) {
			found[d.Name()] = true
		}
	}
	if len(found) > most || len(found) > 0 && m.daemon() == 0 {
		return nil // what is left behind is something else
	}
	return found
}

// podOf returns the pod of a supervisor.
func (m *machine) podOf(pid int) string {
	trace, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", pid))
	return filepath.Base(filepath.Dir(trace))
}

// supervises reports whether a process is a supervisor of the machine: its standard
// error is the crash trace in a pod's directory, even when that is gone.
func (m *machine) supervises(pid int) bool {
	s, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/2", pid))
	return strings.HasPrefix(s, m.dir+"/run/pods/")
}

func pids() []int {
	var all []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// files lists what belongs to pods and containers below the run and root
// directories; images and the daemon's own files stay.
func (m *machine) files() []string {
	var found []string
	ahead := m.ahead()
	for _, dir := range []string{"run", "lib"} {
		_ = filepath.WalkDir(filepath.Join(m.dir, dir), func(name string, d fs.DirEntry, err error) error {
			rel := strings.TrimPrefix(name, m.dir+"/")
			switch {
			case err != nil || rel == dir:
				return nil
			case path.Dir(rel) == "run/pods" && ahead[path.Base(rel)]:
				return fs.SkipDir
			case rel == "lib/networks" || rel == "run/state/network": // networks stay; what pods have of them are leases
				return fs.SkipDir
			case slices.Contains([]string{"run/state", "lib/cni", "lib/cni/cache"}, path.Dir(rel)): // a kind of records; the records are below
				return nil
			case strings.HasPrefix(rel, "lib/images/") && !strings.HasPrefix(rel, "lib/images/rootfs"):
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			case rel == "lib/images/rootfs":
				return nil
			case strings.Count(rel, "/") >= 2: // KIND/ID: something of a pod
				found = append(found, rel)
				if d.IsDir() {
					return fs.SkipDir
				}
			}
			return nil
		})
	}
	return found
}

// hierarchies are the places where cgroup file systems are mounted.
func hierarchies() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	all, _ := filepath.Glob("/sys/fs/cgroup/*")
	return all
}

// cgroups lists the cgroups below a parent, in every hierarchy.
func cgroups(parent string) []string {
	var found []string
	for _, h := range hierarchies() {
		_ = filepath.WalkDir(h+parent, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && name != h+parent {
				found = append(found, name)
			}
			return nil
		})
	}
	return found
}

// removeCgroups removes a parent and what is below it, children first.
func removeCgroups(parent string) {
	for _, h := range hierarchies() {
		var all []string
		_ = filepath.WalkDir(h+parent, func(name string, _ fs.DirEntry, err error) error {
			if err == nil {
				all = append(all, name)
			}
			return nil
		})
		for i := len(all) - 1; i >= 0; i-- {
			_ = os.Remove(all[i]) // a group's files refuse; an engine's files where it only took a directory for a hierarchy do not
		}
	}
}

// cgroupFile reads a limit of the process's cgroup, under its v1 or its v2 name.
func (h *host) cgroupFile(pid int, controller, v1, v2 string) string {
	h.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		h.Fatal(err)
	}
	unified := ""
	for l := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(l), ":", 3)
		for c := range strings.SplitSeq(f[1], ",") {
			if c == controller {
				return readTrim(h, "/sys/fs/cgroup/"+f[1]+f[2]+"/"+v1)
			}
		}
		if f[0] == "0" {
			unified = f[2]
		}
	}
	return readTrim(h, "/sys/fs/cgroup"+unified+"/"+v2)
}

func readTrim(h *host, name string) string {
	h.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		h.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// status returns one field of /proc/PID/status.
func (h *host) status(pid int, field string) string {
	h.Helper()
	for l := range strings.Lines(readTrim(h, fmt.Sprintf("/proc/%d/status", pid))) {
		if v, ok := strings.CutPrefix(l, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	h.Fatalf("no %s in /proc/%d/status", field, pid)
	return ""
}

// pss returns the proportional set size of a process in bytes.
func (h *host) pss(pid int) int {
	h.Helper()
	for l := range strings.Lines(readTrim(h, fmt.Sprintf("/proc/%d/smaps_rollup", pid))) {
		if v, ok := strings.CutPrefix(l, "Pss:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")))
			if err != nil {
				h.Fatal(err)
			}
			return kb << 10
		}
	}
	h.Fatalf("no Pss of %d", pid)
	return 0
}

// fds counts a process's open descriptors.
func (h *host) fds(pid int) int {
	h.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		h.Fatal(err)
	}
	return len(all)
}

// threads counts a process's threads.
func (h *host) threads(pid int) int {
	h.Helper()
	n, err := strconv.Atoi(h.status(pid, "Threads"))
	if err != nil {
		h.Fatal(err)
	}
	return n
}
