package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
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
	start func(h *host, dir string) (want []string)
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
		if absent[n.name] == "" {
			want[n.name] = n.start(h, dir)
		}
	}
	shell := background(h, "unshare", "--mount", "--uts", "--ipc", "--net", "sleep", "1000")
	want["unshare"] = []string{fmt.Sprintf(" sleep:%d", shell)}
	h.eventually("unshare has become sleep", func() bool { return strings.Contains(h.ok("look", "ns", "--all"), want["unshare"][0][1:]) })

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

// must runs another engine's command line.
func must(h *host, env []string, args ...string) string {
	h.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		h.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
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
func startPodman(h *host, dir string) []string {
	conf := filepath.Join(dir, "containers.conf")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte(podmanConf), 0o644); err != nil {
		h.Fatal(err)
	}
	env := []string{"CONTAINERS_CONF=" + conf, "XDG_RUNTIME_DIR="}
	podman := []string{"podman", "--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs", "--runtime", "runc"}
	call := func(args ...string) string { return must(h, env, append(slices.Clone(podman), args...)...) }
	h.Cleanup(func() {
		call("pod", "rm", "-f", "-t", "0", "look-duo")
		removeCgroups(h.parent + "/podman")
	})
	call("pod", "create", "--name", "look-duo", "--share", "ipc,uts,net", "--network", "none", "--cgroup-parent", h.parent+"/podman")
	call("run", "-d", "--pod", "look-duo", "--name", "look-papp", "--rootfs", dir+"/../rootfs", "/bin/sleep", "1000")
	return []string{"podman look-duo/look-papp"}
}

// startContainerd runs a containerd of the test's own with one container.
func startContainerd(h *host, dir string) []string {
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = %q\n",
		dir+"/root", dir+"/state", dir+"/c.sock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(dir+"/config.toml", []byte(config), 0o644); err != nil {
		h.Fatal(err)
	}
	background(h, "containerd", "-c", dir+"/config.toml")
	ctr := func(args ...string) string {
		return must(h, nil, append([]string{"ctr", "-a", dir + "/c.sock"}, args...)...)
	}
	h.eventually("containerd answers", func() bool {
		return exec.Command("ctr", "-a", dir+"/c.sock", "version").Run() == nil
	})
	h.Cleanup(func() {
		ctr("task", "kill", "-s", "9", "look-hello")
		h.eventually("the container has ended", func() bool {
			return exec.Command("ctr", "-a", dir+"/c.sock", "task", "rm", "look-hello").Run() == nil ||
				!strings.Contains(ctr("task", "ls"), "look-hello")
		})
		ctr("container", "rm", "look-hello")
		removeCgroups(h.parent + "/containerd")
	})
	ctr("run", "-d", "--null-io", "--cgroup", h.parent+"/containerd/look-hello", "--rootfs", dir+"/../rootfs", "look-hello", "/bin/sleep", "1000")
	return []string{"containerd look-hello"}
}

// TestLookFromInside looks from a container: it sees itself, and that it is not the host.
func TestLookFromInside(t *testing.T) {
	h := start(t)
	carob := filepath.Join(h.machine.dir, "bin", "carob") + ":/carob:ro"
	var seen struct {
		rows
		Inner bool
	}
	out := h.ok("run", "--rm", "-v", carob, image, "/carob", "look", "ns", "--all", "-o", "json")
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
	if out := h.ok("run", "--rm", "-v", carob, image, "/carob", "look", "security", "1"); strings.Contains(out, "CRITICAL") || !strings.Contains(out, "a user of the host without any rights") {
		t.Errorf("security:\n%s", out)
	}
}
