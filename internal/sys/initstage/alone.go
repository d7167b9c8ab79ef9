package initstage

import (
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/sys/spawn"
)

// Alone is what a program is told when no supervisor has prepared the way: the child
// leaves the host's own namespaces, and waits where whoever made it has something to do.
//
// Waiting is a conversation: the child tells a number in one of the steps below and goes
// on when it gets a byte through Turn. It ends with its maker.
type Alone struct {
	// Turn is the place of a pipe's read end among the passed files, Release that of its
	// write end, which the child closes.
	Turn, Release int
	// Start and Report are FIFOs, -1 for none: a child that is ready closes its report
	// pipe, waits for a byte from Start, and reports to Report what goes wrong with execve.
	Start, Report int
	// Low and High are files with the next lower and the next higher number: all others are
	// closed while the child waits.
	Low, High int
	// RootPath is where the root file system is attached, seen from the host, while Hooks
	// run. Without Hooks it hides the host's root from the beginning.
	RootPath string
	Hooks    bool
	// NoPivot leaves the host's root below the container's: for hosts whose root is the
	// initial ramfs, from which pivot_root(2) cannot go.
	NoPivot bool
	// Keyring names a new session keyring, "" keeps the caller's.
	Keyring string
	// Own lists which of the descriptors 0 to 2 are given to the process's user. With
	// Streams the process has those that are passed instead of its maker's.
	Own     []int
	Streams bool
	// Preserve is how many descriptors from 3 on are left open.
	Preserve int
	// Place has an exec's process wait for what only its maker can put it into.
	Place bool
	// Rootless leaves an OOM score as it is that the maker may not give.
	Rootless bool
}

// Steps in which a child tells a number and waits.
const (
	StepMapping  = "user namespace: mapping" // until the namespace has its mapping
	StepHooks    = "hooks"                   // while hooks run, in the container's namespaces
	StepPlace    = "place"                   // until the process is in groups that are not cgroups
	StepListener = "seccomp listener"        // the number is the listener's descriptor
)

// wait asks for a turn.
func (a *Alone) wait(b *spawn.Builder, step string, number spawn.Arg) {
	b.Step(step)
	b.Tell(number)
	b.Await(passed(a.Turn))
}

// standalone is a container with Alone.
type standalone struct{ Container }

func (c standalone) program() (*spawn.Builder, error) {
	b, a, p := &spawn.Builder{}, c.Alone, c.Spec.Process
	fresh := c.fresh()
	if !slices.ContainsFunc(c.Files.Joins, func(j Join) bool { return j.Type == unix.CLONE_NEWNS }) {
		fresh |= unix.CLONE_NEWNS
	}
	a.begin(b, p, fresh&unix.CLONE_NEWUSER == 0)
	kernelFiles := procfs(b, p)
	c.leave(b, fresh)
	if c.bornInside() {
		b.CloneInto(passed(c.Files.Group))
	}
	c.name(b, fresh)
	(Named{Sysctls: c.Spec.Linux.Sysctl}).apply(b)
	if err := c.build(b); err != nil {
		return nil, err
	}
	if fresh&unix.CLONE_NEWCGROUP != 0 {
		b.Step("cgroup namespace")
		b.Call(unix.SYS_UNSHARE, spawn.Imm(unix.CLONE_NEWCGROUP))
	}
	b.Step("session")
	b.Call(unix.SYS_SETSID)
	c.hide(b)
	return b, c.run(b, kernelFiles)
}

// begin makes the process unreachable: until execve it is a copy of its maker, whose
// memory and descriptors are none of the container's business.
func (a *Alone) begin(b *spawn.Builder, p *specs.Process, score bool) {
	b.Step("begin")
	if a.Release >= 0 {
		b.Call(unix.SYS_CLOSE, passed(a.Release))
	}
	if score && p.OOMScoreAdj != nil {
		text := strconv.Itoa(*p.OOMScoreAdj)
		b.Step("process.oomScoreAdj " + text)
		f := b.Call(unix.SYS_OPENAT, cwd(), b.Str("/proc/self/oom_score_adj"), spawn.Imm(unix.O_WRONLY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
		if write := b.Call(unix.SYS_WRITE, f, b.Str(text), spawn.Imm(len(text))); a.Rootless {
			write.Allow(uintptr(unix.EACCES))
		}
		b.Close(f)
	}
	b.Step("begin")
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_DUMPABLE), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	if a.Keyring != "" {
		b.Step("session keyring")
		if p.SelinuxLabel != "" { // until execve
			writeFile(b, "/proc/self/attr/keycreate", p.SelinuxLabel)
		}
		b.Call(unix.SYS_KEYCTL, spawn.Imm(unix.KEYCTL_JOIN_SESSION_KEYRING), b.Str(a.Keyring)).Allow(uintptr(unix.ENOSYS))
	}
}

// leave joins and makes namespaces, as enter does below a supervisor. What is joined by
// path is joined with the host's rights, before a user namespace is made or joined.
func (c standalone) leave(b *spawn.Builder, fresh uint64) {
	flags := fresh &^ (unix.CLONE_NEWCGROUP | unix.CLONE_NEWTIME)
	late, user := fresh&unix.CLONE_NEWTIME != 0, false
	for _, j := range c.Files.Joins {
		user = user || j.Type == unix.CLONE_NEWUSER
		late = late || j.Type&(unix.CLONE_NEWUSER|unix.CLONE_NEWPID|unix.CLONE_NEWTIME) != 0
	}
	if !late {
		b.CloneFlags = flags
	}
	b.Step("namespaces: join")
	for _, j := range c.Files.Joins {
		b.Call(unix.SYS_SETNS, passed(j.File), spawn.Imm(j.Type))
	}
	c.clocks(b, fresh)
	if late {
		b.Step("namespaces: make")
		b.Fork(flags)
	}
	if flags&unix.CLONE_NEWUSER != 0 {
		c.Alone.wait(b, StepMapping, spawn.Imm(0))
	}
	if user || flags&unix.CLONE_NEWUSER != 0 {
		becomeRoot(b)
	}
}

// clocks makes a time namespace, for children of this process.
func (c standalone) clocks(b *spawn.Builder, fresh uint64) {
	if fresh&unix.CLONE_NEWTIME == 0 {
		return
	}
	b.Step("namespaces: time")
	b.Call(unix.SYS_UNSHARE, spawn.Imm(unix.CLONE_NEWTIME))
	if len(c.Spec.Linux.TimeOffsets) == 0 {
		return
	}
	var lines strings.Builder
	for _, clock := range slices.Sorted(maps.Keys(c.Spec.Linux.TimeOffsets)) {
		o := c.Spec.Linux.TimeOffsets[clock]
		lines.WriteString(clock + " " + strconv.FormatInt(o.Secs, 10) + " " + strconv.FormatUint(uint64(o.Nanosecs), 10) + "\n")
	}
	b.Step("linux.timeOffsets")
	writeFile(b, "/proc/self/timens_offsets", lines.String())
}

// becomeRoot makes the process the user namespace's root, if it has one: what is
// created from now on belongs to it.
func becomeRoot(b *spawn.Builder) {
	b.Step("become root of the user namespace")
	none := uintptr(unix.EINVAL) // 0 is not mapped
	b.Call(unix.SYS_SETRESGID, spawn.Imm(0), spawn.Imm(0), spawn.Imm(0)).Allow(none)
	b.Call(unix.SYS_SETGROUPS, spawn.Imm(0), spawn.Imm(0)).Allow(uintptr(unix.EPERM))
	b.Call(unix.SYS_SETRESUID, spawn.Imm(0), spawn.Imm(0), spawn.Imm(0)).Allow(none)
}

// name sets up namespaces that have little in them.
func (c standalone) name(b *spawn.Builder, fresh uint64) {
	if fresh&unix.CLONE_NEWNET != 0 {
		loopback(b)
	}
	if c.Spec.Hostname != "" {
		hostname(b, c.Spec.Hostname)
	}
	if d := c.Spec.Domainname; d != "" {
		b.Step("domainname " + d)
		b.Call(unix.SYS_SETDOMAINNAME, b.Str(d), spawn.Imm(len(d)))
	}
}

// build makes root and mounts. Everything is attached from inside of a chroot, so
// that no path leads out of the container's root; the host's is left at the end.
func (c standalone) build(b *spawn.Builder) error {
	all, a := c.below("/"), c.Alone
	b.Step("mounts: leave the host's")
	b.Call(unix.SYS_MOUNT, spawn.Imm(0), b.Str("/"), spawn.Imm(0), spawn.Imm(unix.MS_REC|hostPropagation(c.Spec.Linux.RootfsPropagation)), spawn.Imm(0))
	made := c.kernelMounts(b, all)
	b.Step("rootfs")
	host := b.Call(unix.SYS_OPENAT, cwd(), b.Str("/"), spawn.Imm(unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	root := passed(c.Files.Rootfs)
	if a.NoPivot { // what stays in sight of the kernel would let a user namespace mount its own, unmasked
		for _, dir := range []string{"/proc", "/sys"} {
			b.Call(unix.SYS_UMOUNT2, b.Str(dir), spawn.Imm(unix.MNT_DETACH)).AllowAny()
		}
	}
	at := "/"
	if a.Hooks && !a.NoPivot {
		at = a.RootPath
	}
	moveMount(b, root, cwd(), at)
	b.Call(unix.SYS_FCHDIR, root)
	b.Call(unix.SYS_CHROOT, b.Str("."))
	if err := c.mounts(b, all, made); err != nil {
		return err
	}
	c.nodes(b)
	c.console(b)
	c.remounts(b)
	if !c.bornInside() {
		joinCgroup(b, c.Files.Cgroups)
	}
	allProcessors(b)
	if a.Hooks {
		a.wait(b, StepHooks, spawn.Imm(0))
	}
	if !a.NoPivot {
		b.Step("pivot_root")
		b.Call(unix.SYS_FCHDIR, host)
		b.Call(unix.SYS_CHROOT, b.Str("."))
		pivot(b, root)
	}
	b.Close(host)
	if flags := rootPropagation(c.Spec.Linux.RootfsPropagation); flags != 0 {
		b.Step("linux.rootfsPropagation")
		b.Call(unix.SYS_MOUNT, spawn.Imm(0), b.Str("/"), spawn.Imm(0), spawn.Imm(flags), spawn.Imm(0))
	}
	return nil
}

// hostPropagation is what the copies of the host's mounts become: nothing that is
// mounted in the container may come to the host.
func hostPropagation(asked string) uint {
	if strings.HasSuffix(asked, "private") || strings.HasSuffix(asked, "unbindable") {
		return unix.MS_PRIVATE
	}
	return unix.MS_SLAVE
}

// rootPropagation is what the root becomes in the end, if it has not been made so
// beforehand.
func rootPropagation(asked string) uint {
	switch asked {
	case "shared":
		return unix.MS_SHARED
	case "rshared":
		return unix.MS_SHARED | unix.MS_REC
	case "unbindable":
		return unix.MS_UNBINDABLE
	case "runbindable":
		return unix.MS_UNBINDABLE | unix.MS_REC
	}
	return 0
}

// nodes makes the devices that are not part of a /dev that was prepared.
func (c standalone) nodes(b *spawn.Builder) {
	if len(c.Files.Nodes)+len(c.Files.Links) == 0 {
		return
	}
	b.Step("devices")
	umask := b.Call(unix.SYS_UMASK, spawn.Imm(0)).Result() // their modes are what is asked
	for _, n := range c.Files.Nodes {
		b.Step("device " + n.Path)
		mkdirAll(b, path.Dir(n.Path), inImage)
		inParent(b, n.Path, inImage, func(dir, base spawn.Arg) {
			b.Call(unix.SYS_MKNODAT, dir, base, spawn.Imm(n.Mode), spawn.Imm(unix.Mkdev(n.Major, n.Minor))).
				Allow(uintptr(unix.EEXIST)).SkipOnErr(1)
			b.Call(unix.SYS_FCHOWNAT, dir, base, spawn.Imm(n.UID), spawn.Imm(n.GID), spawn.Imm(unix.AT_SYMLINK_NOFOLLOW))
		})
	}
	for _, l := range c.Files.Links {
		b.Step("link " + l[0])
		mkdirAll(b, path.Dir(l[0]), inImage)
		inParent(b, l[0], inImage, func(dir, base spawn.Arg) {
			b.Call(unix.SYS_SYMLINKAT, b.Str(l[1]), dir, base).Allow(uintptr(unix.EEXIST), uintptr(unix.EROFS))
		})
	}
	b.Call(unix.SYS_UMASK, umask)
}

// remounts changes what is mounted already.
func (c standalone) remounts(b *spawn.Builder) {
	for _, m := range c.Spec.Mounts {
		if m.Type == Remount {
			o, _ := mountopt.Parse(m.Options) // package ocispec has checked them
			b.Step("mount " + m.Destination)
			remount(b, m.Destination, o)
		}
	}
}

// gate tells that everything is ready but execve, and waits to be started.
func (a *Alone) gate(b *spawn.Builder) {
	if a == nil || a.Start < 0 {
		return
	}
	b.Step("start")
	// A filter may forbid it; then they are closed by execve.
	b.Call(unix.SYS_CLOSE_RANGE, spawn.Imm(3+a.Preserve), passed(a.Low), spawn.Imm(0)).AllowAny()
	b.Call(unix.SYS_CLOSE_RANGE, passed(a.High), spawn.Imm(^uint32(0)), spawn.Imm(0)).AllowAny()
	b.Ready(passed(a.Report))
	b.Await(passed(a.Start))
}

// inherited leaves the process the descriptors 0 to 2 that its maker has.
func (a *Alone) inherited(b *spawn.Builder, p *specs.Process) {
	b.Step("streams")
	for _, n := range a.Own {
		b.Call(unix.SYS_FCHOWN, spawn.Imm(n), spawn.Imm(p.User.UID), spawn.Imm(^uint32(0))).AllowAny()
	}
}

// find looks for the command before anybody waits for a start: who creates a container
// wants to know of a command that is not there.
func find(b *spawn.Builder, candidates []string) error {
	if len(candidates) > math.MaxUint8 { // calls that one can leave out
		return fault.New(fault.Invalid, fmt.Sprintf("process.env: PATH has more than %d directories", math.MaxUint8))
	}
	b.Step(StepFind)
	for i, file := range candidates {
		call := b.Call(unix.SYS_FACCESSAT, cwd(), b.Str(file), spawn.Imm(unix.X_OK))
		if i < len(candidates)-1 {
			call.Allow(uintptr(unix.ENOENT), uintptr(unix.ENOTDIR), uintptr(unix.EACCES)).SkipOnOK(len(candidates) - 1 - i)
		}
	}
	return nil
}

// Hook is a program that runs a hook in a container's namespaces: all of the process that
// Spawn names as target. Descriptors 0 to 2 are the passed files.
type Hook struct {
	Namespaces uint64
	// Dir is the working directory, "" the root of the process's mount namespace.
	Dir, Path string
	Args, Env []string
}

// Program returns the hook's program.
func (h Hook) Program() *spawn.Builder {
	b := &spawn.Builder{}
	b.Step("namespaces: join")
	spawn.Enter(b, spawn.File(spawn.FileTarget), h.Namespaces)
	if h.Namespaces&unix.CLONE_NEWPID != 0 {
		b.Fork(0)
	}
	if h.Namespaces&unix.CLONE_NEWUSER != 0 {
		becomeRoot(b)
	}
	if h.Dir != "" {
		b.Step("directory " + h.Dir)
		b.Call(unix.SYS_CHDIR, b.Str(h.Dir))
	}
	b.Step("streams")
	for n := range 3 {
		b.Call(unix.SYS_DUP3, spawn.File(n), spawn.Imm(n), spawn.Imm(0))
	}
	b.Call(unix.SYS_CLOSE_RANGE, spawn.Imm(3), spawn.Imm(^uint32(0)), spawn.Imm(unix.CLOSE_RANGE_CLOEXEC))
	b.Call(unix.SYS_RT_SIGPROCMASK, spawn.Imm(unix.SIG_SETMASK), b.Bytes(make([]byte, 8)), spawn.Imm(0), spawn.Imm(8))
	b.Step(StepExec)
	b.Call(unix.SYS_EXECVE, b.Str(h.Path), b.Strings(h.Args), b.Strings(h.Env))
	return b
}
