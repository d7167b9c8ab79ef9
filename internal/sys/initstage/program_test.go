package initstage

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func name(nr uint32) string {
	names := map[uint32]string{
		unix.SYS_SETNS: "setns", unix.SYS_SETSID: "setsid", unix.SYS_FSOPEN: "fsopen", unix.SYS_SETXATTR: "setxattr", unix.SYS_FSCONFIG: "fsconfig",
		unix.SYS_FSMOUNT: "fsmount", unix.SYS_CLOSE: "close", unix.SYS_OPEN_TREE: "open_tree", unix.SYS_MOVE_MOUNT: "move_mount",
		unix.SYS_FCHDIR: "fchdir", unix.SYS_PIVOT_ROOT: "pivot_root", unix.SYS_UMOUNT2: "umount2", unix.SYS_CHDIR: "chdir",
		unix.SYS_MKDIRAT: "mkdirat", unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2", unix.SYS_WRITE: "write",
		unix.SYS_UNSHARE: "unshare", unix.SYS_CHROOT: "chroot", unix.SYS_MOUNT: "mount", unix.SYS_MOUNT_SETATTR: "mount_setattr", unix.SYS_PRCTL: "prctl",
		unix.SYS_SETGROUPS: "setgroups", unix.SYS_SETRESGID: "setresgid", unix.SYS_SETRESUID: "setresuid", unix.SYS_CAPSET: "capset",
		unix.SYS_SECCOMP: "seccomp", unix.SYS_PRLIMIT64: "prlimit64", unix.SYS_DUP3: "dup3", unix.SYS_FCHOWN: "fchown",
		unix.SYS_IOCTL: "ioctl", unix.SYS_SOCKET: "socket", unix.SYS_SETHOSTNAME: "sethostname", unix.SYS_CLOSE_RANGE: "close_range",
		unix.SYS_KEYCTL: "keyctl", unix.SYS_SETDOMAINNAME: "setdomainname", unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_MKNODAT: "mknodat",
		unix.SYS_FCHOWNAT: "fchownat", unix.SYS_FCHMODAT: "fchmodat", unix.SYS_FACCESSAT: "faccessat", unix.SYS_SCHED_SETAFFINITY: "sched_setaffinity",
		unix.SYS_SCHED_SETATTR: "sched_setattr", unix.SYS_IOPRIO_SET: "ioprio_set", unix.SYS_PERSONALITY: "personality",
		unix.SYS_SET_MEMPOLICY: "set_mempolicy", unix.SYS_RT_SIGPROCMASK: "rt_sigprocmask", unix.SYS_EXECVE: "execve", unix.SYS_UMASK: "umask", unix.SYS_RT_SIGACTION: "rt_sigaction",
	}
	if n, ok := names[nr]; ok {
		return n
	}
	return "syscall?"
}

func golden(t *testing.T, file string, b *spawn.Builder) {
	t.Helper()
	if _, err := b.Image(); err != nil {
		t.Fatal(err)
	}
	got := b.Listing(name)
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

// plain is a container as most are.
func plain() Container {
	null := []string{"CAP_NET_BIND_SERVICE", "CAP_KILL"}
	return Container{
		LastCap: 10,
		Files: Files{
			Rootfs: 0, Dev: 1, Pts: 2, Slave: -1, Shm: -1,
			Cgroups: []int{3, 4}, Group: -1, Mounts: map[int]int{6: 5, 7: 6},
		},
		Seccomp: Seccomp{Filter: make([]byte, 16)},
		Spec: &specs.Spec{
			Root: &specs.Root{Readonly: true},
			Process: &specs.Process{
				Args: []string{"sh", "-c", "true"}, Env: []string{"PATH=/bin:relative:/usr/bin"}, Cwd: "/srv/app",
				User:         specs.User{UID: 1000, GID: 100, AdditionalGids: []uint32{5}},
				Capabilities: &specs.LinuxCapabilities{Bounding: null},
				Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1, Hard: 2}},
			},
			Mounts: []specs.Mount{
				{Destination: "/proc", Type: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
				{Destination: "/dev", Type: "tmpfs"},
				{Destination: "/dev/pts", Type: "devpts"},
				{Destination: "/dev/shm", Type: "bind", Source: ShmSource},
				{Destination: "/dev/mqueue", Type: "mqueue"},
				{Destination: "/sys", Type: "sysfs", Options: []string{"ro"}},
				{Destination: "/data/in", Type: "bind"},
				{Destination: "/etc/hosts", Type: BindFile},
			},
			Linux: &specs.Linux{
				Namespaces:    []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}, {Type: "cgroup"}},
				MaskedPaths:   []string{"/proc/kcore"},
				ReadonlyPaths: []string{"/proc/sys"},
			},
		},
	}
}

func program(t *testing.T, c Container) *spawn.Builder {
	t.Helper()
	b, err := c.Program()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestContainerProgram(t *testing.T) {
	b := program(t, plain())
	if want := uint64(unix.CLONE_NEWPID); b.CloneFlags != want {
		t.Errorf("clone flags %#x, want %#x", b.CloneFlags, want)
	}
	golden(t, "container.txt", b)
}

func TestContainerThatJoinsTheReaper(t *testing.T) {
	c := plain()
	c.JoinTarget, c.Init = true, true
	c.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}, {Type: "network"}, {Type: "uts"}}
	c.Spec.Hostname = "box"
	c.Spec.Process.NoNewPrivileges = true
	b := program(t, c)
	if b.CloneFlags != 0 {
		t.Errorf("clone flags %#x: namespaces must be made by the second fork", b.CloneFlags)
	}
	golden(t, "joined.txt", b)
}

// TestContainerOnCgroup2: the first process is born in the cgroup.
func TestContainerOnCgroup2(t *testing.T) {
	c := plain()
	c.Files.Cgroups, c.Files.Group = []int{3}, 4
	b := program(t, c)
	if want := uint64(unix.CLONE_NEWPID); b.CloneFlags != want {
		t.Errorf("clone flags %#x, want %#x", b.CloneFlags, want)
	}
	golden(t, "cgroup2.txt", b)
}

// TestContainerBuiltOutside: the world is built outside of the cgroup, what belongs to
// the pid namespace inside.
func TestContainerBuiltOutside(t *testing.T) {
	c := plain()
	c.Files.Cgroups, c.Files.Group, c.Outside = []int{3}, 4, true
	c.Spec.Linux.Namespaces = append(c.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: "ipc"})
	b := program(t, c)
	if want := uint64(unix.CLONE_NEWIPC); b.CloneFlags != want {
		t.Errorf("clone flags %#x, want %#x", b.CloneFlags, want)
	}
	golden(t, "outside.txt", b)
}

func TestExecProgram(t *testing.T) {
	x := Exec{Process: plain().Spec.Process, Namespaces: unix.CLONE_NEWCGROUP, Cgroups: []int{0}, Group: -1, Slave: -1, LastCap: 10}
	b, err := x.Program()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "exec.txt", b)
	x.Group = 1
	if b, err = x.Program(); err != nil {
		t.Fatal(err)
	}
	golden(t, "exec-cgroup2.txt", b)
}

func TestSandboxProgram(t *testing.T) {
	s := Sandbox{Loopback: true, ShmSize: 64 << 20, Named: Named{Hostname: "foo", Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "kernel.sem": "1 2 3 4"}}}
	golden(t, "sandbox.txt", s.Program())
}

func TestWhatCannotBeDoneIsNamed(t *testing.T) {
	tests := map[string]func(*Container){
		"capability CAP_FLY: unknown": func(c *Container) { c.Spec.Process.Capabilities.Bounding = []string{"CAP_FLY"} },
		"rlimit RLIMIT_X: unknown":    func(c *Container) { c.Spec.Process.Rlimits[0].Type = "RLIMIT_X" },
		"user 4294967295: is no id":   func(c *Container) { c.Spec.Process.User.UID = 1<<32 - 1 },
		"mount /x: file system nfs is not supported": func(c *Container) {
			c.Spec.Mounts[6] = specs.Mount{Destination: "/x", Type: "nfs"}
			delete(c.Files.Mounts, 6)
		},
	}
	for want, change := range tests {
		c := plain()
		change(&c)
		if _, err := c.Program(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestNoX32 makes the call that the probe makes, here where nothing kills for it.
func TestNoX32(t *testing.T) {
	_, _, errno := unix.RawSyscall(unix.SYS_GETPID|0x40000000, 0, 0, 0)
	if got, want := NoX32(), errno == unix.ENOSYS; got != want {
		t.Errorf("%v, want %v (%v)", got, want, errno)
	}
}

// TestConfined asks for the profile through the supervisor's procfs, opened before the
// container's world hides it, in the process that executes.
func TestConfined(t *testing.T) {
	c := plain()
	c.Spec.Process.ApparmorProfile = "web"
	golden(t, "confined.txt", program(t, c))
}

// TestLabelled: file systems of the kernel's get the label that mounts have, the process
// asks for its own as it does for a profile, and what skips the cover of a masked directory
// skips all of it.
func TestLabelled(t *testing.T) {
	c := plain()
	c.Spec.Process.SelinuxLabel = "system_u:system_r:container_t:s0:c1,c2"
	c.Spec.Linux.MountLabel = "system_u:object_r:container_file_t:s0:c1,c2"
	golden(t, "labelled.txt", program(t, c))
}

// TestNamedProgram: a supervisor takes it, also when there is nothing to do.
func TestNamedProgram(t *testing.T) {
	for _, n := range []Named{{}, {Hostname: "h"}, {Sysctls: map[string]string{"net.a": "1"}}} {
		f, err := fd.Memory(n.Program())
		if err != nil {
			t.Fatal(err)
		}
		p, errno := spawn.Load(int(f.Fd()))
		if f.Close(); errno != 0 {
			t.Errorf("%+v: %v", n, errno)
			continue
		}
		p.Close()
	}
}
