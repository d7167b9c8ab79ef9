package oci

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestSignalWhileItWaits: what would end any process ends a container that waits for
// start; what would not does not.
func TestSignalWhileItWaits(t *testing.T) {
	for _, signal := range []string{"TERM", "INT", "USR1"} {
		b := newBox(t)
		b.spec.Process.Args = []string{"/bin/sleep", "1000"}
		b.write()
		b.detached("create", b.id)
		b.call("kill", b.id, "WINCH")
		if s := b.state(); s.Status != specs.StateCreated {
			t.Errorf("WINCH made it %s", s.Status)
		}
		b.must(exec.Command("kill", "-"+signal, strconv.Itoa(b.state().Pid)).Run())
		b.eventually("stopped by "+signal, func() bool { return b.state().Status == specs.StateStopped })
		b.call("delete", b.id)
	}
}

// TestStartContainerHook: it is a program of the image's, and has no rights that the
// container's process has not.
func TestStartContainerHook(t *testing.T) {
	b := newBox(t)
	b.spec.Process.User = specs.User{UID: 12, GID: 34}
	b.spec.Process.Cwd = "/tmp"
	b.must(os.Chmod(b.rootfs("tmp"), 0o777))
	b.spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat", "mkdir"}, Action: specs.ActErrno}},
	}
	b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{
		Path: "/bin/sh", Args: []string{"sh", "-c", `grep -E "^(Uid|Gid|CapEff|CapBnd|Seccomp|NoNewPrivs):" /proc/self/status >/tmp/hook; cat /proc/self/cgroup >/tmp/group; mkdir /tmp/x; readlink /proc/self/cwd >>/tmp/hook; cat >/tmp/state`},
		Env: []string{"PATH=/bin"},
	}}}
	process := b.run(`grep -E "^(Uid|Gid|CapEff|CapBnd|Seccomp|NoNewPrivs):" /proc/self/status; cat /proc/self/cgroup >/tmp/own; test -e /tmp/x || echo none`)
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(b.rootfs("tmp", name))
		b.must(err)
		return strings.TrimSpace(string(text))
	}
	if want := strings.TrimSuffix(process, "\nnone") + "\n/"; read("hook") != want || !strings.HasSuffix(process, "none") {
		t.Errorf("the hook is\n%s\nthe process\n%s", read("hook"), process)
	}
	if read("group") != read("own") {
		t.Errorf("the hook is in\n%s\nthe process in\n%s", read("group"), read("own"))
	}
	var state specs.State
	if err := json.Unmarshal([]byte(read("state")), &state); err != nil || state.ID != b.id || state.Status != specs.StateCreated {
		t.Errorf("the hook was told %+v, %v", state, err)
	}
}

// TestCreateContainerHook begins in the container's root, where hooks put files.
func TestCreateContainerHook(t *testing.T) {
	b := newBox(t)
	b.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{
		Path: "/bin/sh", Args: []string{"sh", "-c", "touch tmp/target && mount --bind ./etc/marked tmp/target"},
		Env: []string{"PATH=/bin:/usr/bin"},
	}}}
	b.must(os.WriteFile(b.rootfs("etc/marked"), []byte("from the hook"), 0o644))
	if got := b.run("cat /tmp/target"); got != "from the hook" {
		t.Errorf("the container reads %q", got)
	}
}

// TestEvents: an OOM kill is told when it happens, and events ends with the container.
func TestEvents(t *testing.T) {
	b := newBox(t)
	r := b.spec.Linux.Resources
	r.Memory = &specs.LinuxMemory{Limit: pointer(int64(32 << 20))}
	b.spec.Process.Args = []string{"/bin/sleep", "1000"}
	b.start()
	cmd := b.cmd("events", "--interval", "1h", b.id)
	out, err := cmd.StdoutPipe()
	b.must(err)
	b.must(cmd.Start())
	lines := bufio.NewScanner(out)
	next := func() (kind string) {
		t.Helper()
		var e struct{ Type, ID string }
		if !lines.Scan() {
			t.Fatalf("no event: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.ID != b.id {
			t.Errorf("%s: %v", lines.Bytes(), err)
		}
		return e.Type
	}
	if kind := next(); kind != "stats" {
		t.Errorf("the first event is %s", kind)
	}
	if out, err := b.try("exec", b.id, "/bin/sh", "-c", `x=aaaaaaaaaaaaaaaa; while true; do x="$x$x"; done`); err == nil {
		t.Errorf("not killed: %s", out)
	}
	if kind := next(); kind != "oom" {
		t.Errorf("the second event is %s", kind)
	}
	b.call("kill", b.id, "KILL")
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("events: %v", err)
	}
}

// TestTimerSlack: the runtime's own is none of what it starts has.
func TestTimerSlack(t *testing.T) {
	const setSlack, slack = 29, 70_000 // PR_SET_TIMERSLACK; what this thread has, and who inherits from it
	runtime.LockOSThread()             // and not unlocked: the thread ends with the test
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, setSlack, slack, 0); e != 0 {
		t.Fatal(e)
	}
	b := newBox(t)
	seen := filepath.Join(b.dir, "seen")
	hook := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "cat /proc/self/timerslack_ns > " + seen}, Env: []string{"PATH=/bin:/usr/bin"}}
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{hook}}
	b.sh("cat /proc/self/timerslack_ns")
	caps := b.spec.Process.Capabilities // a thread that is not the first one asks about another
	for _, set := range []*[]string{&caps.Bounding, &caps.Permitted, &caps.Effective} {
		*set = append(*set, "CAP_SYS_NICE")
	}
	b.write()
	want := fmt.Sprintln(slack)
	if out := b.call("run", b.id); out+"\n" != want {
		t.Errorf("the process has %q, want %q", out, want)
	}
	if got, err := os.ReadFile(seen); string(got) != want {
		t.Errorf("a hook has %q, %v, want %q", got, err, want)
	}
}
