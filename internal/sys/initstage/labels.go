package initstage

import (
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
	if label == "" {
		return
	}
	b.Call(unix.SYS_FCHDIR, mnt)
	b.Call(unix.SYS_SETXATTR, b.Str("."), b.Str("security.selinux"), b.Str(label), spawn.Imm(len(label)), spawn.Imm(0))
}

// covering is how many calls cover a masked directory.
func (c Container) covering() int {
	if c.Spec.Linux.MountLabel == "" {
		return 8
	}
	return 9
}
