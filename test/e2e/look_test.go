package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rows is the part of `look ns -o json` that is checked.
type rows struct {
	Rows []row
	Host map[string]uint64
}

type row struct {
	Name, Engine string
	PID          int
	Cells        map[string]string
	NS           map[string]uint64
}

// kinds are the columns of the matrix.
var kinds = []string{"mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"}

// glance runs `carob look ns`.
func (h *host) glance(args ...string) (r rows) {
	h.Helper()
	if err := json.Unmarshal([]byte(h.ok(append([]string{"look", "ns", "-o", "json"}, args...)...)), &r); err != nil {
		h.Fatal(err)
	}
	return r
}

// inode asks the kernel for a namespace by stat; 0 when the process has ended.
func inode(pid int, kind string) uint64 {
	info, err := os.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// neighbour is another engine's container; start returns what runs it and what must be
// seen of it, "engine/name".
type neighbour struct {
	name  string
	needs []string // programs
	// start fails where the engine does not work on this machine, which is no fault of
	// carob's.
	start func(h *host, dir string) (want []string, err error)
}

// TestLookAmongEngines looks at a host with a pod of podman, a container of containerd,
// an unshared shell and carob's own at once, and holds every statement about sharing
// against stat of /proc/PID/ns.
func TestLookAmongEngines(t *testing.T) {
	h := start(t)
	foo, _, _ := h.pod("foo", "")
	web := h.container("web")
	root := rootfs(h)
	want := map[string][]string{"carob": {"carob " + foo + "/app", "carob " + foo + "/sidecar", "carob " + web}}
	absent := map[string]string{}
	for _, n := range neighbours() {
		dir := filepath.Join(root, n.name)
		for _, p := range n.needs {
			if _, err := exec.LookPath(p); err != nil {
				absent[n.name] = p + " is not installed"
			}
		}
		if absent[n.name] != "" {
			continue
		}
		if all, err := n.start(h, dir); err != nil {
			absent[n.name] = err.Error()
		} else {
			want[n.name] = all
		}
	}
	shell := background(h, "unshare", "--mount", "--uts", "--ipc", "--net", "sleep", "1000")
	h.eventually("unshare has become sleep", func() bool {
		return readTrim(h, fmt.Sprintf("/proc/%d/comm", shell)) == "sleep"
	})

	// What others start here may move while it is looked at: those count that were at the
	// same place before and after.
	before := h.glance("--all").places()
	seen := h.glance("--all")
	after := seen.places()
	for name, all := range want {
		t.Run(name, func(t *testing.T) {
			for _, w := range all {
				if !slices.ContainsFunc(seen.Rows, func(r row) bool { return r.Engine+" "+r.Name == w }) {
					t.Errorf("%q is not seen among %+v", w, seen.Rows)
				}
			}
		})
	}
	t.Run("unshare", func(t *testing.T) {
		if !slices.ContainsFunc(seen.Rows, func(r row) bool { return r.PID == shell && r.Cells["net"] == "own" && r.Cells["pid"] == "host" }) {
			t.Errorf("process %d is not seen as it is among %+v", shell, seen.Rows)
		}
	})
	for name, why := range absent {
		t.Run(name, func(t *testing.T) { t.Skip(why) })
	}
	t.Run("sharing", func(t *testing.T) { sharing(t, seen, before, after) })
	for _, c := range [][]string{{"tree", "--all"}, {"cgroup"}, {"security"}, {"diff", foo, web}, {"tree", foo}} {
		if out := h.ok(append([]string{"look"}, c...)...); !strings.Contains(out, foo) {
			t.Errorf("look %s does not speak of %s:\n%s", c[0], foo, out)
		}
	}
	refused, _, _ := strings.Cut(strings.Join(strings.Fields(h.ok("look", "security", web, "--calls")), " "), "With some arguments")
	if !strings.Contains(refused, " mount,") || !strings.Contains(refused, " reboot,") || strings.Contains(refused, " openat,") {
		t.Errorf("the default profile refuses mount and reboot, and not openat:\n%s", refused)
	}
	if out := h.ok("explain", foo, "--lang", "zh"); !strings.Contains(out, "它们处在同一个 uts") {
		t.Errorf("explain:\n%s", out)
	}
}

// places are the namespaces of the rows' first processes by stat, by PID and kind.
func (r rows) places() map[int]map[string]uint64 {
	all := map[int]map[string]uint64{}
	for _, row := range r.Rows {
		all[row.PID] = map[string]uint64{}
		for _, kind := range kinds {
			all[row.PID][kind] = inode(row.PID, kind)
		}
	}
	return all
}

// sharing holds each cell against stat, and each pair of cells.
func sharing(t *testing.T, seen rows, before, after map[int]map[string]uint64) {
	still := slices.DeleteFunc(slices.Clone(seen.Rows), func(r row) bool {
		return r.PID == 0 || r.Cells["mnt"] == "?" || after[r.PID]["mnt"] == 0 || !maps.Equal(before[r.PID], after[r.PID])
	})
	for i, a := range still {
		for _, kind := range kinds {
			n := after[a.PID][kind]
			if n != a.NS[kind] || (a.Cells[kind] == "host") != (n == seen.Host[kind]) {
				t.Errorf("%s: %s is %q, %d; stat says %d, the host's is %d", a.Name, kind, a.Cells[kind], a.NS[kind], n, seen.Host[kind])
			}
			for _, b := range still[:i] {
				m := after[b.PID][kind]
				if same := a.Cells[kind] == b.Cells[kind] && a.Cells[kind] != "own"; same != (n == m) {
					t.Errorf("%s and %s: %s is %q and %q; stat says %d and %d", a.Name, b.Name, kind, a.Cells[kind], b.Cells[kind], n, m)
				}
			}
		}
	}
	if len(still) < 6 {
		t.Errorf("only %d rows could be compared", len(still))
	}
}

// rootfs is a directory with a root file system for engines that take one.
func rootfs(h *host) string {
	h.Helper()
	dir := h.TempDir()
	if err := copyFile(filepath.Join(h.machine.dir, "bin", "carob-toolbox"), filepath.Join(dir, "rootfs/bin/sleep")); err != nil {
		h.Fatal(err)
	}
	for _, d := range []string{"dev", "proc", "sys", "etc", "run", "tmp", "var"} {
		if err := os.MkdirAll(filepath.Join(dir, "rootfs", d), 0o755); err != nil {
			h.Fatal(err)
		}
	}
	return dir
}

// background starts a program that is killed with the test, and returns its PID.
func background(h *host, name string, args ...string) int {
	h.Helper()
	c := exec.Command(name, args...)
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c.Process.Pid
}

func neighbours() []neighbour {
	return []neighbour{
		{"podman", []string{"podman", "runc", "conmon", "catatonit"}, startPodman},
		{"containerd", []string{"containerd", "ctr", "runc", "containerd-shim-runc-v2"}, startContainerd},
	}
}

// other runs another engine's command lines, until one fails.
func other(env []string, before []string, lines ...[]string) error {
	for _, args := range lines {
		args = append(slices.Clone(before), args...)
		c := exec.Command(args[0], args[1:]...)
		c.Env = append(os.Environ(), env...)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("does not work here: %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// podmanConf keeps podman from what this machine may not have: a journal, systemd, high
// limits; and its locks below its own directory.
const podmanConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
`

// startPodman makes a pod of an infra container and one more.
func startPodman(h *host, dir string) ([]string, error) {
	conf := filepath.Join(dir, "containers.conf")
	write(h, conf, podmanConf)
	env := []string{"CONTAINERS_CONF=" + conf, "XDG_RUNTIME_DIR="}
	podman := []string{"podman", "--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs", "--runtime", "runc"}
	h.Cleanup(func() {
		remove := func() error {
			return other(env, podman, []string{"pod", "rm", "-f", "--ignore", "-t", "0", "look-duo"})
		}
		if remove() != nil { // it trips over its own files in a directory that it took for a hierarchy
			removeCgroups(h.parent + "/podman")
			if err := remove(); err != nil {
				h.Error(err)
			}
		}
		removeCgroups(h.parent + "/podman")
	})
	return []string{"podman look-duo/look-papp"}, other(env, podman,
		[]string{"pod", "create", "--name", "look-duo", "--share", "ipc,uts,net", "--network", "none", "--cgroup-parent", h.parent + "/podman"},
		[]string{"run", "-d", "--pod", "look-duo", "--name", "look-papp", "--rootfs", dir + "/../rootfs", "/bin/sleep", "1000"})
}

// startContainerd runs a containerd of the test's own with one container.
func startContainerd(h *host, dir string) ([]string, error) {
	write(h, dir+"/config.toml", fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = %q\n",
		dir+"/root", dir+"/state", dir+"/c.sock"))
	background(h, "containerd", "-c", dir+"/config.toml")
	ctr := []string{"ctr", "-a", dir + "/c.sock"}
	if !wait(20*time.Second, func() bool { return other(nil, ctr, []string{"version"}) == nil }) {
		return nil, errors.New("containerd does not answer")
	}
	h.Cleanup(func() {
		_ = other(nil, ctr, []string{"task", "kill", "-s", "9", "look-hello"}) // it may never have run
		gone := wait(20*time.Second, func() bool { return other(nil, ctr, []string{"task", "rm", "look-hello"}) == nil })
		if err := other(nil, ctr, []string{"container", "rm", "look-hello"}); err != nil || !gone {
			h.Error("the container of containerd is still there: ", err)
		}
		removeCgroups(h.parent + "/containerd")
	})
	return []string{"containerd look-hello"}, other(nil, ctr,
		[]string{"run", "-d", "--null-io", "--cgroup", h.parent + "/containerd/look-hello", "--rootfs", dir + "/../rootfs", "look-hello", "/bin/sleep", "1000"})
}

// write makes a file and the directories over it.
func write(h *host, name, text string) {
	h.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		h.Fatal(err)
	}
}

// TestOtherBinariesWords: what another binary carries out has its help and its completion from there.
func TestOtherBinariesWords(t *testing.T) {
	h := start(t)
	for args, want := range map[string]string{
		"help look ns":         "carob look ns [POD|CONTAINER|PID",
		"look draw --help":     "carob look draw [FLAGS]",
		"__complete look n":    "ns\t",
		"__complete serve --c": "--cgroup-driver\t",
		"help serve":           "carob serve",
	} {
		if out := h.ok(strings.Fields(args)...); !strings.Contains(out, want) {
			t.Errorf("%s: %s", args, out)
		}
	}
	if r := h.run("look", "ns", "--frob"); r.code != 1 || !strings.Contains(r.err, "carob look ns --help") {
		t.Errorf("%+v", r)
	}
}

// TestLookFromInside looks from a container: it sees itself, and that it is not the host.
func TestLookFromInside(t *testing.T) {
	h := start(t)
	carob := filepath.Join(h.machine.dir, "bin", "carob-look") + ":/carob-look:ro"
	var seen struct {
		rows
		Inner bool
	}
	out := h.ok("run", "--rm", "-v", carob, image, "/carob-look", "look", "ns", "--all", "-o", "json")
	if err := json.Unmarshal([]byte(out), &seen); err != nil {
		t.Fatal(err)
	}
	if !seen.Inner || len(seen.Rows) != 2 || seen.Rows[0].PID != 1 || seen.Rows[1].Name != "host" {
		t.Fatalf("%+v", seen)
	}
	for _, kind := range []string{"mnt", "uts", "ipc", "pid", "net", "user", "cgroup"} {
		if got := seen.Rows[0].Cells[kind]; got != "own" {
			t.Errorf("%s: %q", kind, got)
		}
	}
	if out := h.ok("run", "--rm", "-v", carob, image, "/carob-look", "look", "security", "1"); strings.Contains(out, "CRITICAL") || !strings.Contains(out, "a user of the host without any rights") {
		t.Errorf("security:\n%s", out)
	}
}
