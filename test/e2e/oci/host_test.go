package oci

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/sys/fd"
	"carob/internal/testenv"
)

// TestResources: limits are in the container's cgroup, and update changes them.
func TestResources(t *testing.T) {
	b := newBox(t)
	r := b.spec.Linux.Resources
	r.Memory = &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}
	r.CPU = &specs.LinuxCPU{Quota: pointer(int64(50000)), Period: pointer(uint64(100000)), Cpus: "0"}
	r.Pids = &specs.LinuxPids{Limit: pointer(int64(50))}
	b.start()
	check := func(memory, pids string) {
		t.Helper()
		for _, c := range [][4]string{
			{"memory", "memory.limit_in_bytes", "memory.max", memory}, {"pids", "pids.max", "pids.max", pids},
			{"cpuset", "cpuset.cpus", "cpuset.cpus", "0"},
		} {
			if got := b.group(c[0], c[1], c[2]); got != c[3] {
				t.Errorf("%s: %s, want %s", c[1], got, c[3])
			}
		}
	}
	check("67108864", "50")
	if got := b.exec(`grep Cpus_allowed_list /proc/self/status`); !strings.HasSuffix(got, "\t0") {
		t.Errorf("an exec is not in the cpuset: %s", got)
	}
	b.call("update", b.id, "--memory", "96m", "--pids-limit", "60")
	check("100663296", "60")
	cmd := b.cmd("update", "--resources", "-", b.id)
	cmd.Stdin = strings.NewReader(`{"pids":{"limit":70}}`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("update: %v: %s", err, out)
	}
	check("100663296", "70")
	if out, err := b.try("update", "--memory", "1.5g", b.id); err == nil || !strings.Contains(out, "--memory") {
		t.Errorf("a wrong size: %v: %s", err, out)
	}
	var event struct {
		Type, ID string
		Data     struct {
			Memory struct {
				Usage struct{ Limit, Usage uint64 }
			}
			Pids struct{ Current uint64 }
		}
	}
	b.must(json.Unmarshal([]byte(b.call("events", "--stats", b.id)), &event))
	if event.Type != "stats" || event.ID != b.id || event.Data.Memory.Usage.Limit != 96<<20 || event.Data.Pids.Current < 1 {
		t.Errorf("events: %+v", event)
	}
}

// TestSmallMemory: what builds the world is not charged to the container.
func TestSmallMemory(t *testing.T) {
	b := newBox(t)
	b.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: pointer(int64(8 << 20))}
	b.run("true")
}

// console listens at a console socket and returns the terminal that comes.
func console(b *box) (socket string, terminal func() *os.File) {
	b.Helper()
	socket = filepath.Join(b.dir, "console")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	b.must(err)
	b.Cleanup(func() { l.Close() })
	return socket, func() *os.File {
		b.Helper()
		b.must(l.SetDeadline(time.Now().Add(testenv.Patience(10 * time.Second))))
		c, err := l.AcceptUnix()
		b.must(err)
		defer c.Close()
		files, err := fd.Receive(c, make([]byte, 1), 1)
		b.must(err)
		b.Cleanup(func() { files[0].Close() })
		return files[0]
	}
}

func TestTerminal(t *testing.T) {
	b := newBox(t)
	socket, terminal := console(b)
	b.spec.Process.Terminal = true
	b.spec.Process.ConsoleSize = &specs.Box{Height: 11, Width: 22}
	b.sh(`test -t 0 && test -t 1 && echo "tty $(readlink /proc/self/fd/0) $(stat -c %u /dev/console) $(ls /dev/pts)"; read line; echo "got $line"; sleep 1000`)
	b.write()
	if out, err := b.try("create", b.id); err == nil || !strings.Contains(out, "console socket") {
		t.Errorf("a terminal that nobody holds: %v: %s", err, out)
	}
	b.detached("create", "--console-socket", socket, b.id)
	tty := terminal()
	size, err := unix.IoctlGetWinsize(int(tty.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Row != 11 || size.Col != 22 {
		t.Errorf("size %+v, %v", size, err)
	}
	b.call("start", b.id)
	lines := bufio.NewScanner(tty)
	for _, want := range []string{"tty /dev/pts/0 0 0", "hello", "got hello"} {
		if want == "hello" {
			_, err := tty.WriteString("hello\n")
			b.must(err)
		}
		for lines.Scan() && !strings.Contains(lines.Text(), want) {
		}
		if !strings.Contains(lines.Text(), want) {
			t.Fatalf("no %q: %v", want, lines.Err())
		}
	}
	b.detached("exec", "--tty", "--detach", "--console-socket", socket, b.id, "/bin/sh", "-c", "test -t 0 && echo from exec $(readlink /proc/self/fd/2); sleep 1000")
	lines = bufio.NewScanner(terminal())
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "from exec /dev/pts/1") {
		t.Errorf("exec wrote %q, %v", lines.Text(), lines.Err())
	}
}

// TestSeccompListener: an agent gets the listener with the state of the process, and its
// answers are what the process sees.
func TestSeccompListener(t *testing.T) {
	for _, privileges := range []bool{true, false} {
		b := newBox(t)
		b.spec.Process.NoNewPrivileges = privileges
		b.spec.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, ListenerPath: filepath.Join(b.dir, "agent"), ListenerMetadata: "meta",
			Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdirat", "mkdir"}, Action: specs.ActNotify}},
		}
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.spec.Linux.Seccomp.ListenerPath, Net: "unix"})
		b.must(err)
		told := make(chan string, 1)
		go func() {
			defer close(told)
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			defer c.Close()
			head := make([]byte, 1)
			files, err := fd.Receive(c, head, 1)
			if err != nil || len(files) != 1 {
				told <- fmt.Sprint("no listener: ", err)
				return
			}
			defer files[0].Close()
			rest := make([]byte, 64<<10)
			n, _ := c.Read(rest)
			told <- string(head) + string(rest[:n])
			refuse(int(files[0].Fd()))
		}()
		got := b.run(`mkdir /x 2>&1; grep Seccomp: /proc/self/status`)
		l.Close()
		if !strings.Contains(got, "Operation not supported") || !strings.Contains(got, "Seccomp:\t2") {
			t.Errorf("the container wrote %q", got)
		}
		var state specs.ContainerProcessState
		if err := json.Unmarshal([]byte(<-told), &state); err != nil || state.Metadata != "meta" || state.Pid == 0 || state.State.ID != b.id || len(state.Fds) != 1 {
			t.Errorf("the agent was told %+v, %v", state, err)
		}
	}
}

// refuse answers the first notification with EOPNOTSUPP, with the kernel's structures
// seccomp_notif and seccomp_notif_resp.
func refuse(listener int) {
	const receive, send = 0xc0502100, 0xc0182101
	request := make([]byte, 80)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), receive, addressOf(request)); e != 0 {
		return
	}
	response := make([]byte, 24)
	copy(response, request[:8]) // id
	errno := -int32(unix.EOPNOTSUPP)
	response[16], response[17], response[18], response[19] = byte(errno), byte(errno>>8), byte(errno>>16), byte(errno>>24)
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), send, addressOf(response)) // the test sees what comes of it
	runtime.KeepAlive(response)
}

// TestNetDevices: a device of the host's moves into the container, under its new name and
// with its addresses.
// The host is a network namespace of the test's own.
func TestNetDevices(t *testing.T) {
	for _, tool := range []string{"ip", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no ", tool)
		}
	}
	b := newBox(t)
	b.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"ctest0": {Name: "inside0"}}
	b.sh(`ls /sys/class/net; ip -o addr`)
	b.write()
	script := `ip link add ctest0 type veth peer name ctest1 && ip addr add 10.99.0.7/24 dev ctest0 && ip addr add fd00:99::7/64 dev ctest0 && ip link set ctest0 up && "$0" --root "$1" run "$2"; ls /sys/class/net >/dev/null; ip -o link | grep -c ctest0`
	cmd := exec.Command("unshare", "-n", "sh", "-c", script, b.binary, b.root, b.id)
	cmd.Dir = b.dir
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"inside0\nlo\n", "10.99.0.7/24", "fd00:99::7/64"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("got %q, %v, want %q", out, err, want)
		}
	}
}

// TestGroupThatIsThere: an engine may have made the cgroup, in some hierarchies only, with
// limits that stay.
func TestGroupThatIsThere(t *testing.T) {
	b := newBox(t)
	b.spec.Linux.CgroupsPath = "/carob-oci-" + b.id
	dir, file := "/sys/fs/cgroup/pids", "/pids.max"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		dir, file = "/sys/fs/cgroup", "/memory.high"
	}
	dir += b.spec.Linux.CgroupsPath
	b.must(os.Mkdir(dir, 0o755))
	if _, err := os.Stat(dir + file); err != nil {
		file = "/cgroup.max.descendants" // no controllers are passed down
	}
	b.must(os.WriteFile(dir+file, []byte("4096000"), 0))
	b.start()
	if got, err := os.ReadFile(dir + file); strings.TrimSpace(string(got)) != "4096000" {
		t.Errorf("%s is %s, %v", file, got, err)
	}
	if procs, err := os.ReadFile(dir + "/cgroup.procs"); len(procs) == 0 {
		t.Errorf("nobody is in the group: %v", err)
	}
	second := *b
	second.id += "-second"
	if out, err := second.try("create", second.id); err == nil || !strings.Contains(out, "is not empty") {
		t.Errorf("another container in the same group: %v: %s", err, out)
	}
}
