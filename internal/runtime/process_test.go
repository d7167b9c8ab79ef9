package runtime

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/testenv"
)

// start starts a container that stays, and returns it with its pid. A script that ends in
// exec has come there.
func (b *bench) start(s pod.Sandbox, script string, change func(*pod.Process)) (pod.Process, int) {
	b.t.Helper()
	p := b.process(s, script, change)
	pid, err := b.launch(p)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, last, ok := strings.Cut(script, "exec "); ok {
		name, _, _ := strings.Cut(last, " ")
		b.becomes(pid, name)
	}
	return p, pid
}

// becomes waits until a process executes the program of this name.
func (b *bench) becomes(pid int, name string) {
	b.t.Helper()
	for late := time.Now().Add(testenv.Patience(10 * time.Second)); time.Now().Before(late); time.Sleep(time.Millisecond) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == name+"\n" {
			return
		}
	}
	b.t.Fatalf("process %d does not become %s", pid, name)
}

// exec runs a shell command in a container.
func (b *bench) exec(target pod.Process, pid int, script string, change func(*pod.Process)) (string, status.Exit) {
	b.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	x := pod.Process{
		PodID: target.PodID, ID: newID(b.t), Target: target.ID, TargetPid: pid, IDs: target.IDs,
		Cgroup: target.Cgroup, Spec: plainSpec(script), Streams: pod.Streams{Stdout: w, Stderr: w},
	}
	if change != nil {
		change(&x)
	}
	if _, err := b.n.Exec(b.t.Context(), x); err != nil {
		b.t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out), b.wait(x)
}

func both(t *testing.T, test func(t *testing.T, ids status.IDMapping)) {
	t.Run("host user namespace", func(t *testing.T) { test(t, status.IDMapping{}) })
	t.Run("own user namespace", func(t *testing.T) { test(t, shifted) })
}

func TestExecSeesTheContainer(t *testing.T) {
	both(t, func(t *testing.T, ids status.IDMapping) {
		b := newBench(t)
		s := b.sandbox(ids, nil)
		c, pid := b.start(s, "echo here > /mark; exec sleep 100", nil)
		out, exit := b.exec(c, pid, `cat /mark; cat /proc/1/comm; grep CapEff /proc/self/status
			for n in mnt pid net ipc uts user cgroup; do test "$(readlink /proc/self/ns/$n)" = "$(readlink /proc/1/ns/$n)" || echo $n differs; done
			grep -v ':/$' /proc/self/cgroup | grep -v ^0::; exit 5`, nil)
		if want := "here\nsleep\nCapEff:\t0000000000000401\n"; out != want || exit.Code != 5 {
			t.Errorf("exit %+v, out %q, want %q", exit, out, want)
		}
	})
}

func TestSharedPidNamespaceHasAReaper(t *testing.T) {
	both(t, func(t *testing.T, ids status.IDMapping) {
		b := newBench(t)
		s := b.sandbox(ids, func(s *pod.Sandbox) { s.Namespaces.PID = spec.OfPod })
		sb, err := b.n.Find(s.PodID)
		if err != nil {
			t.Fatal(err)
		}
		join := func(p *pod.Process) {
			p.Join = map[string]int{"pid": sb.Reaper()}
			p.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "cgroup"}}
		}
		b.start(s, "exec sleep 100", join)
		out, _ := b.run(s, `cat /proc/1/comm; cat /proc/[0-9]*/comm | grep -c sleep; grep Cap /proc/1/status | sort -u | cut -f2 | sort -u
			(sleep 0.01 &) ; i=0; zombies() { cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z'; }
			sleep 0.1; while [ $(zombies) != 0 ] && [ $i -lt 100 ]; do i=$((i+1)); sleep 0.1; done; zombies`, join)
		if want := "carob-reaper\n1\n0000000000000000\n0\n"; out != want {
			t.Errorf("out %q, want %q", out, want)
		}
	})
}

func TestContainersShareIPCAndShm(t *testing.T) {
	both(t, func(t *testing.T, ids status.IDMapping) {
		b := newBench(t)
		s := b.sandbox(ids, nil)
		b.run(s, "echo shared > /dev/shm/x; ipcmk -M 4096 >/dev/null", nil)
		out, _ := b.run(s, "cat /dev/shm/x; ipcs -m | grep -c ' 4096 '; stat -fc %T /dev/shm; stat -c %a /dev/shm", nil)
		if want := "shared\n1\ntmpfs\n1777\n"; out != want {
			t.Errorf("same pod: %q, want %q", out, want)
		}
		other := b.sandbox(ids, nil)
		if out, _ := b.run(other, "ls /dev/shm; ipcs -m | grep -c ' 4096 '", nil); out != "0\n" {
			t.Errorf("another pod sees %q", out)
		}
	})
}

func TestSandboxJoinsAnothersNamespaces(t *testing.T) {
	both(t, func(t *testing.T, ids status.IDMapping) {
		b := newBench(t)
		first := b.sandbox(ids, nil)
		_, pid := b.start(first, "echo from-first > /dev/shm/x; exec sleep 100", nil)
		time.Sleep(testenv.Patience(50 * time.Millisecond)) // the shell's own first steps
		second := b.sandbox(ids, func(s *pod.Sandbox) {
			s.Hostname = "ignored"
			s.Join = map[string]int{"net": pid, "ipc": pid, "uts": pid}
			if ids.Size > 0 {
				s.Join["user"] = pid
			}
			for _, k := range []string{"net", "ipc", "uts"} {
				s.Namespaces = s.Namespaces.With(k, "")
			}
		})
		out, _ := b.run(second, "hostname; cat /dev/shm/x; for n in net ipc uts user; do readlink /proc/self/ns/$n; done", nil)
		want := "box\nfrom-first\n"
		theirs, err := b.Namespaces(pid)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"net", "ipc", "uts", "user"} {
			want += theirs[k] + "\n"
		}
		if out != want {
			t.Errorf("out %q, want %q", out, want)
		}
	})
}

func TestInitReapsAndEndsLikeItsChild(t *testing.T) {
	b := newBench(t)
	s := b.sandbox(shifted, nil)
	out, exit := b.run(s, "cat /proc/1/comm; echo $$; kill -9 $$", func(p *pod.Process) { p.Init = true })
	if out != "carob-init\n2\n" || exit.Code != 137 {
		t.Errorf("out %q, exit %+v", out, exit)
	}
}

func TestUserAndReadOnlyRoot(t *testing.T) {
	b := newBench(t)
	s := b.sandbox(shifted, nil)
	out, _ := b.run(s, "id -u; id -g; id -G; echo x > /dev/stdout; touch /tmp/carob-read-only 2>&1 | grep -c Read-only; grep NoNewPrivs /proc/self/status", func(p *pod.Process) {
		p.Spec.Process.User = specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{100, 7}}
		p.Spec.Process.Capabilities = &specs.LinuxCapabilities{}
		p.Spec.Process.NoNewPrivileges = true
		p.Spec.Root.Readonly = true
	})
	if want := "1000\n100\n100 7\nx\n1\nNoNewPrivs:\t1\n"; out != want {
		t.Errorf("out %q, want %q", out, want)
	}
}

func TestBindMountsKeepOwnersAndAreReadOnlyWhenAsked(t *testing.T) {
	both(t, func(t *testing.T, ids status.IDMapping) {
		b := newBench(t)
		s := b.sandbox(ids, nil)
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(file, 1234, 1234); err != nil {
			t.Fatal(err)
		}
		out, _ := b.run(s, "stat -c %u /new/dir/file; touch /new/dir/made; touch /ro/new 2>&1 | grep -c Read-only; cat /single", func(p *pod.Process) {
			p.Spec.Mounts = append(p.Spec.Mounts,
				specs.Mount{Destination: "/new/dir", Type: "bind", Source: dir, Options: []string{"rbind", "rw"}},
				specs.Mount{Destination: "/ro", Type: "bind", Source: dir, Options: []string{"rbind", "ro"}},
				specs.Mount{Destination: "/single", Type: "bind", Source: file, Options: []string{"rbind"}})
		})
		if want := "1234\n1\ncontent"; out != want {
			t.Errorf("out %q, want %q", out, want)
		}
		info, err := os.Stat(filepath.Join(dir, "made"))
		if err != nil {
			t.Fatal(err)
		}
		if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 0 {
			t.Errorf("a file made by the container's root belongs to %d on the host", uid)
		}
	})
}

func TestRefusalsNameTheThing(t *testing.T) {
	b := newBench(t)
	s := b.sandbox(shifted, nil)
	tests := map[string]struct {
		kind   fault.Kind
		text   string
		change func(*pod.Process)
	}{
		"missing":        {fault.NotFound, "command not found", func(p *pod.Process) { p.Spec.Process.Args = []string{"nope"} }},
		"not executable": {fault.Denied, "not executable", func(p *pod.Process) { p.Spec.Process.Args = []string{"/etc/passwd"} }},
		"directory":      {fault.Denied, "not executable", func(p *pod.Process) { p.Spec.Process.Args = []string{"/etc"} }},
		"cwd":            {fault.Invalid, "working directory: no such file or directory", func(p *pod.Process) { p.Spec.Process.Cwd = "/nope" }},
		"cwd by fd":      {fault.Invalid, "working directory", func(p *pod.Process) { p.Spec.Process.Cwd = "/proc/self/fd/4" }},
		"source": {fault.NotFound, "mount /x: ", func(p *pod.Process) {
			p.Spec.Mounts = append(p.Spec.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/no/such"})
		}},
		"rlimit": {fault.Denied, "rlimit RLIMIT_NOFILE", func(p *pod.Process) {
			p.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1 << 40, Hard: 1 << 40}}
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := b.process(s, "true", test.change)
			_, err := b.launch(p)
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v (%v), want %v %q", err, fault.KindOf(err), test.kind, test.text)
			}
		})
	}
	sb, err := b.n.Find(s.PodID)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := sb.Processes(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("the supervisor remembers %v, %v", all, err)
	}
}

func TestTerminal(t *testing.T) {
	b := newBench(t)
	s := b.sandbox(shifted, nil)
	out, exit := b.run(s, "tty; test -c /dev/console && echo console; stty size < /dev/console | wc -w", func(p *pod.Process) {
		p.Spec.Process.Terminal = true
	})
	if want := "/dev/pts/0\r\nconsole\r\n2\r\n"; out != want || exit.Code != 0 {
		t.Errorf("out %q, exit %+v", out, exit)
	}
	c, pid := b.start(s, "exec sleep 100", nil)
	out, _ = b.exec(c, pid, "tty; echo ok", func(p *pod.Process) { p.Spec.Process.Terminal = true })
	if want := "/dev/pts/0\r\nok\r\n"; out != want {
		t.Errorf("exec: out %q", out)
	}
}

func TestKillExecFindsWhatItStarted(t *testing.T) {
	b := newBench(t)
	s := b.sandbox(shifted, nil)
	c, pid := b.start(s, "exec sleep 100", nil)
	x := pod.Process{
		PodID: s.PodID, ID: newID(t), Target: c.ID, TargetPid: pid, IDs: s.IDs, Cgroup: c.Cgroup,
		Spec: plainSpec("setsid sleep 77 & setsid setsid sleep 77 & wait"), Deadline: time.Now().Add(time.Minute),
	}
	if _, err := b.n.Exec(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	time.Sleep(testenv.Patience(100 * time.Millisecond)) // until all three are there
	if err := b.n.KillExec(t.Context(), s.PodID, x.ID); err != nil {
		t.Fatal(err)
	}
	if e := b.wait(x); e.Code != 137 {
		t.Errorf("exit %+v", e)
	}
	procs, err := b.GroupProcesses(t.Context(), c.Cgroup)
	if err != nil || len(procs) != 1 || procs[0].Pid != pid {
		t.Errorf("left %+v, %v", procs, err)
	}
}

func TestAdoptAfterTheDaemonIsGone(t *testing.T) {
	b := newBench(t)
	s := b.sandbox(shifted, nil)
	stays, pid := b.start(s, "exec sleep 100", nil)
	ends, _ := b.start(s, "sleep 0.2; exit 7", nil)
	f, err := os.Open(filepath.Join(b.dir, "carob-pod"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.n.Close()
	next, err := New(Config{Supervisor: f, Layout: b.n.layout, Users: b.n.users, RunDir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	b.n = next
	t.Cleanup(func() { next.Close() })
	time.Sleep(testenv.Patience(400 * time.Millisecond)) // the second one ends while nobody listens
	s.Known = []pod.KnownProcess{{ID: stays.ID, Cgroup: stays.Cgroup}, {ID: ends.ID, Cgroup: ends.Cgroup}}
	st, err := b.n.AdoptSandbox(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = next.StopSandbox(context.Background(), s.PodID) })
	got := map[string]pod.ProcessState{}
	for _, p := range st.Processes {
		got[p.ID] = p
	}
	if p := got[stays.ID]; p.Pid != pid || p.Exit != nil {
		t.Errorf("the one that stays: %+v", p)
	}
	if p := got[ends.ID]; p.Exit == nil || p.Exit.Code != 7 {
		t.Errorf("the one that ended: %+v", p)
	}
	if out, _ := b.exec(stays, pid, "echo alive", nil); out != "alive\n" {
		t.Errorf("exec after adoption: %q", out)
	}
}

func TestOOMScoreIsSetBeforeTheProcessRuns(t *testing.T) {
	both(t, func(t *testing.T, ids status.IDMapping) {
		b := newBench(t)
		s := b.sandbox(ids, nil)
		score := 500
		out, _ := b.run(s, "cat /proc/self/oom_score_adj", func(p *pod.Process) { p.Spec.Process.OOMScoreAdj = &score })
		if out != "500\n" {
			t.Errorf("asked 500, got %q", out)
		}
		c, pid := b.start(s, "exec sleep 100", nil)
		score = 300
		out, _ = b.exec(c, pid, "cat /proc/self/oom_score_adj", func(p *pod.Process) { p.Spec.Process.OOMScoreAdj = &score })
		if out != "300\n" {
			t.Errorf("exec asked 300, got %q", out)
		}
	})
}

// TestImageCannotMoveTheKernelsFileSystems has an image in which /proc, /sys or /dev
// is a symbolic link: mounted where it leads, they would be there without masks.
func TestImageCannotMoveTheKernelsFileSystems(t *testing.T) {
	b := newBench(t)
	s := b.sandbox(shifted, nil)
	for _, name := range []string{"proc", "sys", "dev"} {
		p := b.process(s, "true", nil)
		dir := filepath.Join(b.dir, "moved-"+name)
		r := image.Rootfs{Lower: []string{"/"}, Upper: dir + "/upper", Work: dir + "/work"}
		for _, d := range []string{r.Upper, r.Work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("/tmp", filepath.Join(r.Upper, name)); err != nil { // hides the directory below
			t.Fatal(err)
		}
		root, err := b.MountRoot(t.Context(), r, s.IDs)
		if err != nil {
			t.Fatal(err)
		}
		p.Rootfs = root
		_, err = b.launch(p)
		root.Close()
		if err == nil || !strings.Contains(err.Error(), "mount /"+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
