package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/groups"
	"carob/internal/image"
	"carob/internal/plan/oci"
	"carob/internal/pod"
	"carob/internal/roots"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/initstage"
	"carob/internal/testenv"
)

// bench is a handler with everything a test needs around it.
type bench struct {
	t testing.TB
	n *Native
	*groups.Groups
	*roots.Roots
	dir string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Cgroup)
	dir := t.TempDir()
	if err := testenv.Build("carob-pod", dir+"/carob-pod"); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir + "/carob-pod")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	layout, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	users := &roots.Users{}
	n, err := New(Config{Supervisor: f, Layout: layout, Users: users, RunDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	rootfs := roots.New(users)
	t.Cleanup(func() {
		n.Close()
		rootfs.Close()
	})
	return &bench{t, n, groups.New(layout), rootfs, dir}
}

func newID(t testing.TB) string {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// box says what a sandbox is to be.
func (b *bench) box(ids status.IDMapping) pod.Sandbox {
	s := pod.Sandbox{
		PodID: newID(b.t), Hostname: "box", IDs: ids, ShmSize: 1 << 20,
		Namespaces: spec.Namespaces{Net: spec.Own, IPC: spec.Own, UTS: spec.Own, PID: spec.Own, User: spec.Host, Cgroup: spec.Own},
	}
	if ids.Size > 0 {
		s.Namespaces.User = spec.Own
	}
	s.Dir = filepath.Join(b.dir, s.PodID[:12])
	return s
}

func (b *bench) sandbox(ids status.IDMapping, change func(*pod.Sandbox)) pod.Sandbox {
	b.t.Helper()
	s := b.box(ids)
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	if change != nil {
		change(&s)
	}
	if _, err := b.n.RunSandbox(b.t.Context(), s); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := b.n.StopSandbox(context.Background(), s.PodID); err != nil {
			b.t.Error(err)
		}
	})
	return s
}

// run starts a shell command in a container over the host's own root file system,
// under an overlay, and returns what it wrote and how it ended.
func (b *bench) run(s pod.Sandbox, script string, change func(*pod.Process)) (string, status.Exit) {
	b.t.Helper()
	p := b.process(s, script, change)
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	p.Streams = pod.Streams{Stdout: w, Stderr: w}
	if _, err := b.launch(p); err != nil {
		b.t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out), b.wait(p)
}

// launch starts a process as the engine does.
func (b *bench) launch(p pod.Process) (pid int, err error) {
	b.t.Helper()
	l, err := b.n.Prepare(b.t.Context(), p)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Start(b.t.Context(), p)
}

func (b *bench) wait(p pod.Process) status.Exit {
	b.t.Helper()
	e := <-b.n.Exits()
	if e.ProcessID != p.ID {
		b.t.Fatalf("exit of %q, want %q", e.ProcessID, p.ID)
	}
	if err := b.n.Forget(b.t.Context(), p.PodID, p.ID); err != nil {
		b.t.Error(err)
	}
	return e.Exit
}

func (b *bench) process(s pod.Sandbox, script string, change func(*pod.Process)) pod.Process {
	b.t.Helper()
	id := newID(b.t)
	dir := filepath.Join(b.dir, id[:12])
	r := image.Rootfs{Lower: []string{"/"}, Upper: dir + "/upper", Work: dir + "/work"}
	for _, d := range []string{r.Upper, r.Work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			b.t.Fatal(err)
		}
	}
	group := "/carob-test-" + id[:12]
	if err := b.CreateGroup(b.t.Context(), group, &specs.LinuxResources{}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx := context.Background()
		if err := b.KillGroup(ctx, group); err != nil {
			b.t.Error(err)
		}
		if err := b.RemoveGroup(ctx, group); err != nil {
			b.t.Error(err)
		}
	})
	root, err := b.MountRoot(b.t.Context(), r, s.IDs)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { root.Close() })
	p := pod.Process{PodID: s.PodID, ID: id, Rootfs: root, IDs: s.IDs, Cgroup: group, Spec: plainSpec(script)}
	if change != nil {
		change(&p)
	}
	return p
}

func plainSpec(script string) *specs.Spec {
	caps := []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}
	return &specs.Spec{
		Root: &specs.Root{},
		Process: &specs.Process{
			Args: []string{"/bin/sh", "-c", script}, Cwd: "/", Env: []string{"PATH=/usr/bin:/bin"},
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs"},
			{Destination: "/dev/pts", Type: "devpts"},
			{Destination: "/dev/shm", Type: "bind", Source: oci.ShmSource},
			{Destination: "/dev/mqueue", Type: "mqueue"},
			{Destination: "/sys", Type: "sysfs", Options: []string{"ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"ro"}},
		},
		Linux: &specs.Linux{
			Namespaces:    []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}, {Type: "cgroup"}},
			MaskedPaths:   []string{"/proc/interrupts", "/sys/firmware", "/proc/nothing"},
			ReadonlyPaths: []string{"/proc/sys"},
		},
	}
}

var shifted = status.IDMapping{HostID: 200000, Size: 65536}

func TestContainerSeesItsOwnWorld(t *testing.T) {
	for name, ids := range map[string]status.IDMapping{"host user namespace": {}, "own user namespace": shifted} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := b.sandbox(ids, nil)
			out, exit := b.run(s, `
				echo pid $$; hostname; id -u
				cat /proc/self/cgroup | grep -v ':/$' | grep -v '^0::'
				grep CapEff /proc/self/status
				test -w /proc/sys/kernel/hostname || echo proc/sys read-only
				head -c1 /proc/interrupts | wc -c
				ls /sys/firmware | wc -l
				ls /proc/self/fd | wc -l
				touch /written && stat -c %u /written
				cat /proc/net/dev | grep -c :
				exit 3`, nil)
			want := strings.Join([]string{
				"pid 1", "box", "0", "CapEff:\t0000000000000401", "proc/sys read-only", "0", "0", "4", "0", "1", "",
			}, "\n")
			if out != want || exit.Code != 3 {
				t.Errorf("exit %+v\n%s\nwant\n%s", exit, out, want)
			}
		})
	}
}

func TestShmConstantsAgree(t *testing.T) {
	if initstage.ShmSource != oci.ShmSource {
		t.Error("the plan and the init stage name the shared memory mount differently")
	}
}

func BenchmarkStart(b *testing.B) {
	bb := newBench(b)
	s := bb.sandbox(shifted, nil)
	p := bb.process(s, "", nil)
	p.Spec.Process.Args = []string{"/bin/true"}
	dir := filepath.Join(bb.dir, p.ID[:12])
	r := image.Rootfs{Lower: []string{"/"}, Upper: dir + "/upper", Work: dir + "/work"}
	for b.Loop() {
		var err error
		if p.Rootfs, err = bb.MountRoot(b.Context(), r, s.IDs); err != nil {
			b.Fatal(err)
		}
		if _, err := bb.launch(p); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Rootfs.Close()
		bb.wait(p)
		b.StartTimer()
	}
}

func BenchmarkSandbox(b *testing.B) {
	bb := newBench(b)
	for b.Loop() {
		id := newID(b)
		s := pod.Sandbox{PodID: id, IDs: shifted, ShmSize: 1 << 20, Dir: filepath.Join(bb.dir, id[:12]), Hostname: "box",
			Namespaces: spec.Namespaces{Net: spec.Own, IPC: spec.Own, UTS: spec.Own, User: spec.Own}}
		if err := os.Mkdir(s.Dir, 0o700); err != nil {
			b.Fatal(err)
		}
		if _, err := bb.n.RunSandbox(b.Context(), s); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		bb.n.StopSandbox(b.Context(), id)
		b.StartTimer()
	}
}

// TestSandboxAhead prepares a sandbox, takes it under another name, and lets one go that
// nobody took.
func TestSandboxAhead(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	ids := status.IDMapping{HostID: 1 << 20, Size: 1 << 16}
	s := b.box(ids)
	made, err := b.n.PrepareSandbox(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	s.Hostname, s.Sysctls = "taken", map[string]string{"net.ipv4.ip_default_ttl": "77"}
	st, err := b.n.RunSandbox(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if st.Pid != made.Pid {
		t.Errorf("process %d, prepared was %d", st.Pid, made.Pid)
	}
	for file, want := range map[string]string{"hostname": "taken", "ttl": "77"} {
		path := map[string]string{"hostname": "/proc/sys/kernel/hostname", "ttl": "/proc/sys/net/ipv4/ip_default_ttl"}[file]
		out, err := exec.Command("nsenter", "-t", strconv.Itoa(st.Pid), "-u", "-n", "cat", path).Output()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s is %q, %v; want %q", file, out, err, want)
		}
	}
	if err := b.n.StopSandbox(ctx, s.PodID); err != nil {
		t.Error(err)
	}
	left := b.box(status.IDMapping{})
	left.Namespaces.PID = spec.OfPod // its reaper is a process that somebody would have asked for
	if made, err = b.n.PrepareSandbox(ctx, left); err != nil {
		t.Fatal(err)
	}
	b.n.Close()
	for end := time.Now().Add(testenv.Patience(10 * time.Second)); !ended(made.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what nobody asked for goes on without its daemon")
		}
	}
}

// ended reports whether a process has ended, reaped or not.
func ended(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}
