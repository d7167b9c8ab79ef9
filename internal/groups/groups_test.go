package groups

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/cgroup"
	"carob/internal/testenv"
)

func TestGroupOfARealProcess(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Cgroup)
	layout, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := New(layout), context.Background()
	path := "/carob-test-groups-" + strconv.Itoa(os.Getpid())
	limit := int64(64 << 20)
	if err := g.CreateGroup(ctx, path, &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.RemoveGroup(ctx, path); err != nil {
			t.Error(err)
		}
		if err := g.RemoveGroup(ctx, path); err != nil { // what is gone is gone
			t.Error(err)
		}
	})
	c, err := layout.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	way, err := c.Entry()
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for i := range way.Files {
		script += "echo 0 > /proc/self/fd/" + strconv.Itoa(3+i) + "; "
	}
	cmd := exec.Command("/bin/sh", "-c", script+"echo; exec sleep 100")
	cmd.ExtraFiles = way.Files
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	way.Close()
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is in
		t.Fatal(err)
	}
	o, err := g.Observe(ctx, cmd.Process.Pid, path)
	if err != nil {
		t.Fatal(err)
	}
	self, err := g.Namespaces(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if o.Resources.Memory == nil || *o.Resources.Memory.Limit != limit || o.Namespaces["net"] != self["net"] || o.UID != 0 || o.SeccompMode != 0 {
		t.Errorf("observed %+v", o)
	}
	procs, err := g.GroupProcesses(ctx, path)
	if err != nil || len(procs) != 1 || procs[0].Pid != cmd.Process.Pid || procs[0].PPid != os.Getpid() {
		t.Errorf("processes %+v, %v", procs, err)
	}
	if s, err := g.GroupStats(ctx, path); err != nil || s.Pids != 1 || s.PidsLimit != 0 || s.MemoryLimit != uint64(limit) || s.MemoryUsage == 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
	if o, err := g.Observe(ctx, cmd.Process.Pid, ""); err != nil || o.Resources != nil || o.Namespaces["net"] != self["net"] {
		t.Errorf("a process without a group of its own: %+v, %v", o, err)
	}
	if err := g.KillGroup(ctx, path); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process was not killed")
	}
	if _, err := g.Observe(ctx, cmd.Process.Pid, path); !fault.Is(err, fault.NotFound) {
		t.Errorf("an ended process gives %v", err)
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 7 1 1 34817 1 4194560 100 0 0 0 250 50 0 0 15 -5 3 0 300 1000000 25 18446744073709551615 1 1"
	boot := time.Unix(1000, 0)
	page := uint64(os.Getpagesize())
	for name, stat := range map[string]string{"[sh]": "12 (sh)" + rest, "[a) S (b]": "12 (a) S (b)" + rest} {
		p, ok := parseStat([]byte(stat), boot)
		want := status.Process{PPid: 7, PGID: 1, SID: 1, TTY: "pts/1", Foreground: true, Nice: -5, Threads: 3, VSZ: 1000000, State: "S", RSS: 25 * page, CPU: 3e9, Started: 1003, Command: name, Comm: name[1 : len(name)-1]}
		if !ok || p != want {
			t.Errorf("got %+v, want %+v", p, want)
		}
	}
	for _, bad := range []string{"", "12", "12 (sh", "12 )(", "12 (sh) S 1"} {
		if p, ok := parseStat([]byte(bad), boot); ok {
			t.Errorf("%q gave %+v", bad, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("12 (a) S (b) S 7 1 1"))
	f.Add([]byte("Uid:\t0\t0\nCapEff:\tff\nSeccomp:\t2\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseStat(b, time.Time{})
		readStatus(b, &status.Observed{})
	})
}

func TestDevices(t *testing.T) {
	g := New(nil)
	null, err := g.Device(t.Context(), "/dev/null")
	if err != nil || null.Type != "c" || null.Major != 1 || null.Minor != 3 {
		t.Errorf("null is %+v, %v", null, err)
	}
	if _, err := g.Device(t.Context(), "/etc/passwd"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a file gives %v", err)
	}
	if _, err := g.Device(t.Context(), "/dev/nope"); !fault.Is(err, fault.NotFound) {
		t.Errorf("nothing gives %v", err)
	}
	all, err := g.HostDevices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if own()[d.Path] {
			t.Errorf("%s is every container's own", d.Path)
		}
	}
}

func TestHandles(t *testing.T) {
	g := new(Groups)
	sleep := exec.Command("sleep", "100")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
	for _, tt := range []struct {
		name        string
		pid, signal int
		want        bool
	}{
		{"the Go runtime catches SIGTERM", os.Getpid(), 15, true},
		{"nobody catches SIGKILL", os.Getpid(), 9, false},
		{"sleep has no handlers", sleep.Process.Pid, 15, false},
	} {
		if got, err := g.Handles(tt.pid, tt.signal); err != nil || got != tt.want {
			t.Errorf("%s: %v %v", tt.name, got, err)
		}
	}
	_ = sleep.Process.Kill()
	_ = sleep.Wait()
	if _, err := g.Handles(sleep.Process.Pid, 15); !fault.Is(err, fault.NotFound) {
		t.Errorf("of one that is gone: %v", err)
	}
	for text, want := range map[string]bool{
		"SigBlk:\t0000000000004000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n": true,
		"SigBlk:\t0000000000000000\nSigIgn:\t0000000000004000\nSigCgt:\t0000000000000000\n": true,
		"SigBlk:\t0000000000002000\nSigIgn:\t0000000000008000\nSigCgt:\t0000000000000000\n": false,
		"SigPnd:\t0000000000004000\n": false,
	} {
		if got := handles([]byte(text), 15); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
