package initstage

import (
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/sys/spawn"
)

// procfs keeps the supervisor's procfs for confine: the container's can have anything
// mounted over it, and a label written there goes nowhere (CVE-2019-16884,
// CVE-2025-52881).
func procfs(b *spawn.Builder, p *specs.Process) spawn.Arg {
	if p.ApparmorProfile == "" && p.SelinuxLabel == "" {
		return spawn.Arg{}
	}
	b.Step("security modules")
	return b.Call(unix.SYS_OPENAT, cwd(), b.Str("/proc"), spawn.Imm(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
}

// confine asks for the AppArmor profile and the SELinux label that execve changes to. It
// takes the process that will execute (the kernel refuses a file of its parent's), and
// comes before the filter, which need not allow it.
func confine(b *spawn.Builder, p *specs.Process, procfs spawn.Arg) {
	if p.ApparmorProfile != "" {
		b.Step("apparmor profile " + strconv.Quote(p.ApparmorProfile) + " (is it loaded?)")
		attribute(b, procfs, "self/attr/apparmor/exec", "exec "+p.ApparmorProfile)
	}
	if p.SelinuxLabel != "" {
		b.Step("selinux label " + strconv.Quote(p.SelinuxLabel) + " (does the policy know it?)")
		attribute(b, procfs, "self/attr/exec", p.SelinuxLabel)
	}
	if p.ApparmorProfile != "" || p.SelinuxLabel != "" {
		b.Close(procfs)
	}
}

// attribute writes one of the process's own that a security module reads.
func attribute(b *spawn.Builder, procfs spawn.Arg, name, value string) {
	f := b.Call(unix.SYS_OPENAT, procfs, b.Str(name), spawn.Imm(unix.O_WRONLY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	b.Call(unix.SYS_WRITE, f, b.Str(value), spawn.Imm(len(value)))
	b.Close(f)
}

// label gives the root of a detached mount an SELinux label: of a file system that is there
// already, or that takes none as an option. From then on what is made in it is of that type.
// The working directory means nothing until the root is there.
func label(b *spawn.Builder, mnt spawn.Arg, label string) {
	if label != "" {
		b.Call(unix.SYS_FCHDIR, mnt)
		setLabel(b, label)
	}
}

func setLabel(b *spawn.Builder, label string) spawn.Ref {
	return b.Call(unix.SYS_SETXATTR, b.Str("."), b.Str("security.selinux"), b.Str(label), spawn.Imm(len(label)), spawn.Imm(0))
}

// labelQueues labels the mqueue file system of an IPC namespace that is neither the host's
// nor somebody else's. Its root belongs to who made the namespace: for a user namespace that
// was made at the same time that is the host's root, and the label stays as it is.
func (c Container) labelQueues(b *spawn.Builder, mnt spawn.Arg) {
	joined := slices.ContainsFunc(c.Files.Joins, func(j Join) bool { return j.Type == unix.CLONE_NEWIPC })
	if c.Spec.Linux.MountLabel == "" || c.Spec.Process.SelinuxLabel == "" || joined {
		return
	}
	b.Call(unix.SYS_FCHDIR, mnt)
	setLabel(b, c.Spec.Linux.MountLabel).Allow(uintptr(unix.EPERM))
}

// covering is how many calls cover a masked directory.
func (c Container) covering() int {
	if c.Spec.Linux.MountLabel == "" {
		return 8
	}
	return 9
}
