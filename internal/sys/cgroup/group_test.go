package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
	"carob/internal/testenv"
)

func ptr[T any](v T) *T { return &v }

// host returns the layout and a path of the test's own whose trees are removed,
// and checked to be gone, at the end.
func host(t testing.TB) (*Layout, string) {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Cgroup)
	l, err := Detect()
	if err != nil {
		t.Fatal(err)
	}
	return l, place(t, l)
}

// eachTracking runs f on the host's layout and, where a v2 tree is mounted, on that
// tree alone: a hybrid host can so try v2's way to freeze, kill and track.
func eachTracking(t *testing.T, f func(t *testing.T, l *Layout, root string)) {
	t.Run("detected", func(t *testing.T) {
		l, root := host(t)
		f(t, l, root)
	})
	t.Run("v2 alone", func(t *testing.T) {
		testenv.Require(t, testenv.Root, testenv.Cgroup)
		in, err := os.Open("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		mounts, err := parseMounts(in)
		if err != nil {
			t.Fatal(err)
		}
		mounts = slices.DeleteFunc(mounts, func(m mountPoint) bool { return !m.v2 })
		l, err := newLayout(mounts, func(string) ([]string, error) { return nil, nil })
		if fault.Is(err, fault.Unsupported) {
			t.Skip("no v2 hierarchy on this host")
		}
		if err != nil {
			t.Fatal(err)
		}
		f(t, l, place(t, l))
	})
}

func place(t testing.TB, l *Layout) string {
	t.Helper()
	root := fmt.Sprintf("/carob-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	fds := countFDs(t)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(5*time.Second))
		defer cancel()
		g := &Group{l: l, rel: root}
		if err := errors.Join(g.Kill(ctx, 9), g.Remove(ctx)); err != nil {
			t.Error(err)
		}
		for _, tree := range l.trees {
			if _, err := os.Lstat(tree.dir + root); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s%s is left behind: %v", tree.dir, root, err)
			}
		}
		if n := countFDs(t); n > fds {
			t.Errorf("%d fds, %d before", n, fds)
		}
	})
	return root
}

func countFDs(t testing.TB) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range e {
		if link, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && !strings.Contains(link, "anon_inode") && !strings.Contains(link, "pidfd") {
			n++
		}
	}
	return n
}

func create(t testing.TB, l *Layout, path string, res *specs.LinuxResources) *Group {
	t.Helper()
	g, err := l.Create(path, res)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run starts a shell that joins the group and then does script; SIGTERM makes it exit 9.
func run(t testing.TB, g *Group, script string) *exec.Cmd {
	t.Helper()
	way, err := g.Entry()
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	cmd := exec.Command("sh", "-c")
	join := ""
	for i, f := range way.Files {
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		join += fmt.Sprintf("echo 0 >/proc/self/fd/%d || exit 1; ", i+3) // dash knows no >&10
	}
	cmd.Args = append(cmd.Args, "trap 'exit 9' TERM; "+join+"echo joined; "+script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience(d))
	t.Cleanup(cancel)
	return ctx
}

func TestCreateLimitsAndObserve(t *testing.T) {
	l, root := host(t)
	want := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(96 << 20)), Reservation: ptr(int64(32 << 20))},
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(10000)), Cpus: "0", Mems: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(33))},
	}
	g := create(t, l, root+"/a/b", want)
	got, err := g.Observed()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want.Memory.Limit, got.Memory.Limit) + cmp.Diff(want.Memory.Swap, got.Memory.Swap) +
		cmp.Diff(want.Memory.Reservation, got.Memory.Reservation); d != "" {
		t.Error(d)
	}
	if l.Version("cpu") == plan.V2 {
		got.CPU.Shares = want.CPU.Shares
	}
	if d := cmp.Diff(want.CPU, got.CPU) + cmp.Diff(want.Pids, got.Pids); d != "" {
		t.Error(d)
	}
	if _, err := l.Create(root+"/a/b", nil); !fault.Is(err, fault.Exists) {
		t.Errorf("a second create: %v", err)
	}
	if got.HugepageLimits != nil || got.Devices != nil {
		t.Errorf("limits nobody set: %+v", got)
	}
}

func TestSmallestMemory(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20))}})
	cmd := run(t, g, "exit 7")
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("in 1 MiB: %v", err)
	}
}

func TestCreateFailureLeavesNothing(t *testing.T) {
	l, root := host(t)
	tests := map[string]struct {
		res  *specs.LinuxResources
		kind fault.Kind
		text string
	}{
		"kernel refuses the last": {&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 20))},
			CPU: &specs.LinuxCPU{Cpus: "4000"}}, fault.Invalid, `cpu.cpus: "4000": not all of it is in 0`},
		"quota below 1 ms": {&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(10))}}, fault.Invalid, "cpu.quota"},
		"no such pages, or no controller": {&specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB", Limit: 1}}},
			fault.Unsupported, "hugepageLimits[3MB]"},
		"bad device": {&specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Type: "q"}}}, fault.Invalid, "devices[0]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := l.Create(root+"/x/y", tt.res)
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v (%v)", err, fault.KindOf(err))
			}
			for _, tree := range l.trees {
				if _, err := os.Lstat(tree.dir + root); err == nil {
					t.Errorf("%s%s remains", tree.dir, root)
				}
			}
		})
	}
}

func TestSetIsAllOrNothing(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root, &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Swap: ptr(int64(128 << 20))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(10))},
	})
	was, err := g.Observed()
	if err != nil {
		t.Fatal(err)
	}
	raise := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(256 << 20)), Swap: ptr(int64(512 << 20))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(150000)), Period: ptr(uint64(50000)), Burst: ptr(uint64(1000)), Cpus: "4000"},
	}
	if err := g.Set(raise); !fault.Is(err, fault.Invalid) {
		t.Errorf("impossible cpus: %v", err)
	}
	if now, err := g.Observed(); err != nil || cmp.Diff(was, now) != "" {
		t.Errorf("not rolled back: %v %s", err, cmp.Diff(was, now))
	}
	raise.CPU.Cpus = "0"
	if err := g.Set(raise); err != nil {
		t.Fatal(err)
	}
	now, err := g.Observed()
	if err != nil || *now.Memory.Limit != 256<<20 || *now.Memory.Swap != 512<<20 || *now.CPU.Quota != 150000 || *now.CPU.Period != 50000 || *now.CPU.Burst != 1000 || *now.Pids.Limit != 10 {
		t.Errorf("%v %+v %+v", err, now.Memory, now.CPU)
	}
	if err := g.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(1 << 30))}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a limit above memory+swap: %v", err)
	}
	if err := g.Set(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1))}, Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}); err != nil {
		t.Fatal(err)
	}
	if now, err = g.Observed(); err != nil || now.Pids != nil || now.Memory != nil && (now.Memory.Limit != nil || now.Memory.Swap != nil) {
		t.Errorf("unlimited again: %v %+v", err, now.Memory)
	}
}

func TestDevices(t *testing.T) {
	l, root := host(t)
	one := int64(1)
	rules := []specs.LinuxDeviceCgroup{{Type: "a", Access: "rwm"}, {Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "c", Major: &one, Minor: ptr(int64(3)), Access: "rwm"}}
	g := create(t, l, root, &specs.LinuxResources{Devices: rules})
	read := func(dev string) int {
		cmd := run(t, g, "exec dd if="+dev+" of=/dev/null bs=1 count=1 2>/dev/null")
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
	if code := read("/dev/zero"); code == 0 {
		t.Error("/dev/zero can be read")
	}
	rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &one, Minor: ptr(int64(5)), Access: "r"})
	if err := g.Set(&specs.LinuxResources{Devices: rules}); err != nil {
		t.Fatal(err)
	}
	if code := read("/dev/zero"); code != 0 {
		t.Error("/dev/zero cannot be read after the update")
	}
	if err := g.Set(&specs.LinuxResources{Devices: rules[:3]}); err != nil {
		t.Fatal(err)
	}
	if code := read("/dev/zero"); code == 0 {
		t.Error("/dev/zero can still be read")
	}
}

func TestProcsFreezeKillRemove(t *testing.T) { eachTracking(t, procsFreezeKillRemove) }

func procsFreezeKillRemove(t *testing.T, l *Layout, root string) {
	g := create(t, l, root+"/tree", nil)
	cmd := run(t, g, "for i in 1 2 3; do (sleep 100 & sleep 100 & wait) & done; setsid sleep 100 & wait")
	deadline := time.Now().Add(testenv.Patience(3 * time.Second))
	for {
		pids, err := g.Procs()
		if err != nil {
			t.Fatal(err)
		}
		if len(pids) >= 11 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v", pids)
		}
		time.Sleep(time.Millisecond)
	}
	if err := g.Freeze(within(t, 2*time.Second)); err != nil {
		t.Fatal(err)
	}
	if frozen, err := g.Frozen(); err != nil || !frozen {
		t.Errorf("frozen: %v, %v", frozen, err)
	}
	if err := g.Thaw(within(t, time.Second)); err != nil {
		t.Fatal(err)
	}
	if frozen, _ := g.Frozen(); frozen {
		t.Error("still frozen")
	}
	ctx := within(t, 20*time.Millisecond)
	if err := g.Remove(ctx); !fault.Is(err, fault.Conflict) {
		t.Errorf("remove while in use: %v", err)
	}
	if err := g.Freeze(within(t, 2*time.Second)); err != nil { // a paused group must die as well
		t.Fatal(err)
	}
	if err := g.Kill(within(t, 3*time.Second), 9); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if pids, err := g.Procs(); err != nil || len(pids) != 0 {
		t.Errorf("after kill: %v, %v", pids, err)
	}
	for range 2 {
		if err := g.Remove(within(t, 2*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Kill(within(t, time.Second), 9); err != nil {
		t.Errorf("kill of a removed group: %v", err)
	}
	if _, err := l.Open(g.Name()); !fault.Is(err, fault.NotFound) {
		t.Errorf("open of a removed group: %v", err)
	}
	if _, err := g.Stats(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stats of a removed group: %v", err)
	}
}

func TestKillForkBomb(t *testing.T) { eachTracking(t, killForkBomb) }

func killForkBomb(t *testing.T, l *Layout, root string) {
	g := create(t, l, root, pidsLimit(l, 40))
	bomb := `f() { f 2>&- & f 2>&- & }; while :; do f 2>&-; done 2>&-`
	if l.Version("pids") == plan.None { // one that has at most a few members at a time
		bomb = "f() { f & }; f; f; f; wait"
	}
	cmd := run(t, g, bomb)
	time.Sleep(20 * time.Millisecond)
	if err := g.Kill(within(t, 10*time.Second), 9); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if pids, err := g.Procs(); err != nil || len(pids) != 0 {
		t.Errorf("survivors: %v, %v", pids, err)
	}
}

func TestKillWithOtherSignal(t *testing.T) { eachTracking(t, killWithOtherSignal) }

func killWithOtherSignal(t *testing.T, l *Layout, root string) {
	g := create(t, l, root, nil)
	cmd := run(t, g, "while :; do sleep 0.01; done")
	if err := g.Kill(t.Context(), 15); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit code %d", code)
	}
}

func TestSub(t *testing.T) { eachTracking(t, sub) }

func sub(t *testing.T, l *Layout, root string) {
	g := create(t, l, root, pidsLimit(l, 50))
	main := run(t, g, "sleep 100")
	sub, err := g.Sub("exec-1")
	if err != nil {
		t.Fatal(err)
	}
	cmd := run(t, sub, "sleep 100 & sleep 100")
	all, err := g.Procs()
	if err != nil || len(all) < 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if err := sub.Kill(within(t, 2*time.Second), 9); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := main.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the container's own process: %v", err)
	}
	if err := sub.Remove(within(t, 2*time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Sub("a/b"); !fault.Is(err, fault.Invalid) {
		t.Errorf("%v", err)
	}
}

func TestOOMFile(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(8 << 20)), Swap: ptr(int64(8 << 20))}})
	f, err := g.OOMFile()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kills := func() int {
		b := make([]byte, 256)
		n, _ := f.ReadAt(b, 0)
		for line := range strings.Lines(string(b[:n])) {
			if v, ok := strings.CutPrefix(line, "oom_kill "); ok {
				k, _ := strconv.Atoi(strings.TrimSpace(v))
				return k
			}
		}
		return -1
	}
	if kills() != 0 {
		t.Fatalf("%d kills before", kills())
	}
	cmd := run(t, g, "x=0123456789abcdef; while :; do x=$x$x; done")
	_ = cmd.Wait()
	if kills() != 1 {
		t.Errorf("%d kills", kills())
	}
	s, err := g.Stats()
	if err != nil || s.Memory.OOMKills != 1 || s.Memory.Limit != 8<<20 || s.Memory.SwapLimit != 0 {
		t.Errorf("%+v, %v", s.Memory, err)
	}
}

func TestStats(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root, nil)
	run(t, g, "while :; do :; done")
	time.Sleep(50 * time.Millisecond)
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.CPU.Usage == 0 || s.Memory.Usage == 0 || s.Pids.Current != 1 || s.Memory.WorkingSet > s.Memory.Usage {
		t.Errorf("%+v", s)
	}
}

func TestLayoutPaths(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root, nil)
	for _, c := range []string{"memory", "cpu", "pids", ""} {
		if p := g.Path(c); !filepath.IsAbs(p) || !strings.HasSuffix(p, root) {
			t.Errorf("%q: %q", c, p)
		}
	}
	if p := g.Path("no-such"); p != "" {
		t.Errorf("%q", p)
	}
}

// pidsLimit limits where the layout can; the fork bomb is small enough elsewhere.
func pidsLimit(l *Layout, n int64) *specs.LinuxResources {
	if l.Version("pids") == plan.None {
		return nil
	}
	return &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}}
}

func dockerLike() *specs.LinuxResources {
	res := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(128 << 20)), Swap: ptr(int64(256 << 20))},
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(100))},
		Devices: []specs.LinuxDeviceCgroup{{Type: "a", Access: "rwm"}, {Allow: true, Type: "c", Access: "m"}, {Allow: true, Type: "b", Access: "m"},
			{Allow: true, Type: "c", Major: ptr(int64(136)), Access: "rwm"}},
	}
	for _, d := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}} {
		res.Devices = append(res.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d[0], Minor: &d[1], Access: "rwm"})
	}
	return res
}
