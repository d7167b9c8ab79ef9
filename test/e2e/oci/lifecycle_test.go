package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// code is the exit status of a call.
func code(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// TestLifecycle walks through the states, and through what each of them refuses, in the
// words that engines look for.
func TestLifecycle(t *testing.T) {
	b := newBox(t)
	b.spec.Process.Args = []string{"/bin/sleep", "1000"}
	b.spec.Annotations = map[string]string{"org.example": "value"}
	b.write()
	refused := func(want string, args ...string) {
		t.Helper()
		if out, err := b.try(args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v: %s, want %q", args, err, out, want)
		}
	}
	for _, c := range []string{"state", "start", "kill", "delete", "pause", "resume", "ps"} {
		refused("container does not exist", c, b.id)
	}
	b.detached("create", "--pid-file", filepath.Join(b.dir, "pid"), b.id)
	s := b.state()
	if s.Status != specs.StateCreated || s.Bundle != b.dir || s.Annotations["org.example"] != "value" || s.Version != specs.Version {
		t.Errorf("state %+v", s)
	}
	if pid, _ := os.ReadFile(filepath.Join(b.dir, "pid")); string(pid) != strconv.Itoa(s.Pid) {
		t.Errorf("pid file %s, state %d", pid, s.Pid)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/proc/1", s.Pid)); err != nil {
		t.Errorf("a created container has its world already: %v", err)
	}
	refused("container with given ID already exists", "create", b.id)
	b.call("start", b.id)
	b.eventually("sleep runs", func() bool { return strings.HasPrefix(b.proc("cmdline"), "/bin/sleep") })
	if st := b.state().Status; st != specs.StateRunning {
		t.Errorf("status %s", st)
	}
	refused("cannot start an already running container", "start", b.id)
	refused("that is not stopped: running", "delete", b.id)
	refused("container not paused", "resume", b.id)
	b.call("pause", b.id)
	if st := b.state().Status; st != "paused" {
		t.Errorf("status %s", st)
	}
	refused("cannot exec in a paused container", "exec", b.id, "true")
	b.call("resume", b.id)
	b.call("pause", b.id)
	b.call("kill", b.id, "KILL") // a frozen process must be able to die
	b.eventually("it stops", func() bool { return b.state().Status == specs.StateStopped })
	if pid := b.state().Pid; pid != 0 {
		t.Errorf("a stopped container has pid %d", pid)
	}
	refused("container not running", "kill", b.id, "TERM")
	refused("cannot exec in a stopped container", "exec", b.id, "true")
	refused("cannot start a container that has stopped", "start", b.id)
	b.call("delete", b.id)
	refused("container does not exist", "state", b.id)
	b.call("delete", "--force", b.id)
}

func TestDeletePaused(t *testing.T) {
	b := newBox(t)
	b.start()
	b.call("pause", b.id)
	b.call("delete", "--force", b.id)
}

// TestConfigIsKept: what is changed in a bundle after create has no effect.
func TestConfigIsKept(t *testing.T) {
	b := newBox(t)
	b.sh("echo before > /tmp/x")
	b.write()
	b.detached("create", b.id)
	b.sh("echo after > /tmp/x")
	b.write()
	b.call("start", b.id)
	b.eventually("it ends", func() bool { return b.state().Status == specs.StateStopped })
	if got, err := os.ReadFile(b.rootfs("tmp/x")); string(got) != "before\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRunExitsAsTheProcess(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$; sleep 1": -1} {
		b := newBox(t)
		b.sh(script)
		if want < 0 { // PID 1 cannot kill itself: in the host's pid namespace it can
			b.spec.Linux.Namespaces, want = without(b.spec.Linux.Namespaces, "pid"), 137
		}
		b.write()
		if out, err := b.try("run", b.id); code(err) != want {
			t.Errorf("%s: %v: %s", script, err, out)
		}
	}
}

// TestCommandIsMissing: create says so already, with the words by which engines tell 127
// from 126, and leaves nothing.
func TestCommandIsMissing(t *testing.T) {
	for command, want := range map[string]string{
		"nosuch":      `exec: "nosuch": executable file not found in $PATH`,
		"/bin/nosuch": `exec: "/bin/nosuch": no such file or directory`,
		"/etc":        `exec /etc: permission denied`,
		"/etc/hosts":  `exec: "/etc/hosts": permission denied`,
	} {
		b := newBox(t)
		b.must(os.WriteFile(b.rootfs("etc/hosts"), nil, 0o644))
		b.spec.Process.Args = []string{command}
		b.write()
		log := filepath.Join(b.dir, "log")
		out, err := b.try("--log", log, "--log-format", "json", "run", b.id)
		if code(err) != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %s, want %s", command, err, out, want)
		}
		var line struct{ Level, Msg string }
		text, _ := os.ReadFile(log)
		if err := json.Unmarshal(text, &line); err != nil || line.Level != "error" || line.Msg != want {
			t.Errorf("%s: the log has %q, %v", command, text, err)
		}
	}
}

func TestExec(t *testing.T) {
	b := newBox(t)
	b.spec.Process.Env = append(b.spec.Process.Env, "FROM=config")
	b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	b.spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
	b.start()
	pid := b.state().Pid
	if got := b.exec(`echo $FROM $$; readlink /proc/self/ns/mnt /proc/1/ns/mnt`); !strings.HasPrefix(got, "config ") || strings.Contains(got, " 1\n") {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--user", "5:6", "-g", "7", "--cwd", "/tmp", "-e", "A=b"}, "5 5\n6 7\n/tmp b"},
		{[]string{"--cap", "CAP_CHOWN"}, "0 0\n0\n/ "},
	} {
		got := b.call(append(append([]string{"exec"}, c.args...), b.id, "/bin/sh", "-c", `echo $(id -u) $(id -u); id -G; echo $PWD $A`)...)
		if strings.TrimSpace(got) != strings.TrimSpace(c.want) {
			t.Errorf("%v: got %q, want %q", c.args, got, c.want)
		}
	}
	if got := b.exec(`cat /proc/self/personality; head -n 1 /proc/self/numa_maps`); !strings.HasPrefix(got, "00000008\n") || !strings.Contains(got, "bind:0") {
		t.Errorf("an exec's personality and memory policy: %q", got)
	}
	if _, err := b.try("exec", b.id, "/bin/sh", "-c", "exit 5"); code(err) != 5 {
		t.Errorf("exit status: %v", err)
	}
	if out, err := b.try("exec", b.id, "nosuch"); code(err) != 255 || !strings.Contains(out, `exec: "nosuch": executable file not found in $PATH`) {
		t.Errorf("missing command: %v: %s", err, out)
	}
	process := filepath.Join(b.dir, "process.json")
	text, _ := json.Marshal(specs.Process{
		Args: []string{"/bin/grep", "Cpus_allowed_list", "/proc/self/status"}, Cwd: "/", ExecCPUAffinity: &specs.CPUAffinity{Initial: "0", Final: "0"},
	})
	b.must(os.WriteFile(process, text, 0o644))
	if got := b.call("exec", "--process", process, b.id); !strings.HasSuffix(got, "\t0") {
		t.Errorf("execCPUAffinity: %q", got)
	}
	var pids []int
	b.must(json.Unmarshal([]byte(b.call("ps", "--format", "json", b.id)), &pids))
	if len(pids) != 1 || pids[0] != pid {
		t.Errorf("ps: %v, want %d", pids, pid)
	}
}

// TestExecDetached: the process goes on when the runtime has ended, a child of whoever
// adopts it.
func TestExecDetached(t *testing.T) {
	b := newBox(t)
	b.start()
	file := filepath.Join(b.dir, "exec.pid")
	b.detached("exec", "--detach", "--pid-file", file, b.id, "/bin/sleep", "999")
	pid, err := os.ReadFile(file)
	b.must(err)
	b.eventually("it runs", func() bool {
		line, _ := os.ReadFile("/proc/" + string(pid) + "/cmdline")
		return strings.HasPrefix(string(line), "/bin/sleep\x00999")
	})
}

// TestHooks: every kind runs once, in its place and namespaces, with the state on its
// standard input and the environment that it is given.
func TestHooks(t *testing.T) {
	b := newBox(t)
	log := filepath.Join(b.dir, "hooks")
	hook := func(kind string) []specs.Hook {
		script := fmt.Sprintf(`read -r s; echo "%s $(readlink /proc/self/ns/mnt) [$(env | grep -c .)] $s" >> %s`, kind, log)
		return []specs.Hook{{Path: "/bin/bash", Args: []string{"bash", "-c", script}, Env: []string{"PATH=/bin:/usr/bin"}, Timeout: pointer(20)}}
	}
	inside := []specs.Hook{{
		Path: "/bin/sh", Args: []string{"sh", "-c", `cat > /tmp/state; readlink /proc/self/ns/mnt > /tmp/ns`}, Env: []string{"PATH=/bin"},
	}}
	b.spec.Hooks = &specs.Hooks{
		//lint:ignore SA1019 deprecated, and honoured
		Prestart:      hook("prestart"),
		CreateRuntime: hook("createRuntime"), CreateContainer: hook("createContainer"),
		StartContainer: inside, Poststart: hook("poststart"), Poststop: hook("poststop"),
	}
	b.start()
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", b.state().Pid))
	b.must(err)
	host, err := os.Readlink("/proc/self/ns/mnt")
	b.must(err)
	pid := b.state().Pid
	b.call("delete", "--force", b.id)
	text, err := os.ReadFile(log)
	b.must(err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	want := []struct{ kind, ns, status string }{
		{"prestart", host, "creating"}, {"createRuntime", host, "creating"}, {"createContainer", ns, "creating"},
		{"poststart", host, "running"}, {"poststop", host, "stopped"},
	}
	if len(lines) != len(want) {
		t.Fatalf("hooks wrote %s", text)
	}
	for i, w := range want {
		f := strings.SplitN(lines[i], " ", 4)
		var s specs.State
		if err := json.Unmarshal([]byte(f[3]), &s); err != nil || f[0] != w.kind || f[1] != w.ns || string(s.Status) != w.status || s.ID != b.id || s.Bundle != b.dir {
			t.Errorf("%s: got %q, %v", w.kind, lines[i], err)
		}
		if w.status != "stopped" && s.Pid != pid {
			t.Errorf("%s: pid %d, want %d", w.kind, s.Pid, pid)
		}
	}
	if got, _ := os.ReadFile(b.rootfs("tmp/ns")); strings.TrimSpace(string(got)) != ns {
		t.Errorf("startContainer ran in %q, want %s", got, ns)
	}
	if got, _ := os.ReadFile(b.rootfs("tmp/state")); !strings.Contains(string(got), `"status":"created"`) {
		t.Errorf("startContainer read %q", got)
	}
}

// TestHookFails: a container whose hook fails, or takes too long, is not made.
func TestHookFails(t *testing.T) {
	for name, h := range map[string]specs.Hook{
		"status 3": {Path: "/bin/bash", Args: []string{"bash", "-c", "echo why >&2; exit 3"}},
		"timeout":  {Path: "/bin/sleep", Args: []string{"sleep", "100"}, Timeout: pointer(1)},
	} {
		for _, set := range []func(*specs.Hooks){
			func(k *specs.Hooks) { k.CreateRuntime = []specs.Hook{h} },
			func(k *specs.Hooks) { k.CreateContainer = []specs.Hook{h} },
		} {
			b := newBox(t)
			b.spec.Hooks = &specs.Hooks{}
			set(b.spec.Hooks)
			b.sh("echo ran")
			b.write()
			if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, "hook #0") || strings.Contains(out, "ran\n") {
				t.Errorf("%s: %v: %s", name, err, out)
			}
		}
	}
}
