package initstage

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// alone is plain's container without a supervisor.
func alone() Container {
	c := plain()
	c.CreateCwd = true
	c.Spec.Mounts = slices.DeleteFunc(c.Spec.Mounts, func(m specs.Mount) bool { return m.Source == ShmSource })
	c.Files.Mounts = map[int]int{5: 5, 6: 6}
	c.Alone = &Alone{Turn: 7, Release: 8, Low: 9, Start: 10, Report: 11, High: 12, RootPath: "/bundle/rootfs", Keyring: "_ses.x", Own: []int{1}}
	c.Spec.Hostname, c.Spec.Domainname = "box", "example.org"
	c.Spec.Linux.Namespaces = append(c.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: "uts"}, specs.LinuxNamespace{Type: "network"})
	return c
}

func TestAloneProgram(t *testing.T) {
	b := program(t, alone())
	if want := uint64(unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWNET); b.CloneFlags != want {
		t.Errorf("clone flags %#x, want %#x", b.CloneFlags, want)
	}
	golden(t, "alone.txt", b)
}

// TestAloneInUserNamespace: the child waits for its mapping before it makes anything, and
// for hooks before it leaves the host's root, which is then at its place on the host.
func TestAloneInUserNamespace(t *testing.T) {
	c := alone()
	c.Alone.Hooks = true
	adj := 5
	c.Spec.Process.OOMScoreAdj = &adj
	c.Spec.Linux.Namespaces = append(c.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user"}, specs.LinuxNamespace{Type: "time"})
	c.Spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 5}}
	c.Spec.Linux.RootfsPropagation = "shared"
	c.Files.Nodes = []Node{{Path: "/dev/x", Mode: unix.S_IFCHR | 0o600, Major: 1, Minor: 3}}
	c.Spec.Mounts = append(c.Spec.Mounts, specs.Mount{Destination: "/data/in", Type: Remount, Options: []string{"ro"}})
	b := program(t, c)
	if b.CloneFlags != 0 {
		t.Errorf("clone flags %#x: a time namespace is for children", b.CloneFlags)
	}
	golden(t, "alone-user.txt", b)
	steps := strings.Join(b.Steps(), "\n")
	if strings.Contains(steps, "oomScoreAdj") {
		t.Error("a process that has given up the host's rights writes its score")
	}
	order := []string{StepMapping, "rootfs", StepHooks, "pivot_root", StepFind, "capabilities", "start", StepExec}
	for i := range order[1:] {
		if strings.Index(steps, "\n"+order[i]) > strings.LastIndex(steps, "\n"+order[i+1]) {
			t.Errorf("%s comes after %s", order[i], order[i+1])
		}
	}
}

// TestListenerComesBeforeItsPrivilegesGo: without no_new_privs a filter with a listener is
// loaded before the capabilities are given up, and only once.
func TestListenerComesBeforeItsPrivilegesGo(t *testing.T) {
	for _, privileges := range []bool{false, true} {
		c := alone()
		c.Spec.Process.NoNewPrivileges = !privileges
		c.Seccomp.Flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
		steps := program(t, c).Steps()
		listener, ids := slices.Index(steps, StepListener), slices.Index(steps, "user")
		if listener < 0 || (listener < ids) != privileges {
			t.Errorf("privileges %v: listener at %d, user at %d", privileges, listener, ids)
		}
		if n := strings.Count(strings.Join(steps, "\n"), "seccomp\n"); n != 1 {
			t.Errorf("privileges %v: loaded %d times", privileges, n)
		}
	}
}

func TestAttributes(t *testing.T) {
	c := alone()
	c.Spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedIdle, Flags: []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork}}
	c.Spec.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 3}
	c.Spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
	c.Spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0-1", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
	listing := program(t, c).Listing(name)
	for _, want := range []string{"ioprio_set(0x1, 0x0, 0x4003)", "personality(0x8)", "set_mempolicy(0x8002, ", "sched_setattr("} {
		if !strings.Contains(listing, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestBitmask(t *testing.T) {
	for list, want := range map[string]byte{"0": 1, "0-3,6": 0x4f, "1, 2": 6, "": 0} {
		if mask, err := bitmask("f", list, 64); err != nil || mask[0] != want {
			t.Errorf("%q: %x, %v", list, mask, err)
		}
	}
	for _, bad := range []string{"x", "3-1", "-1", "64", "0-64", "1-", strings.Repeat("0,", 3000)} {
		if _, err := bitmask("f", bad, 64); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzBitmask(f *testing.F) {
	f.Add("0-3,6")
	f.Fuzz(func(_ *testing.T, list string) { _, _ = bitmask("f", list, 1024) }) // must end without a panic
}
