package initstage

import (
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/sys/spawn"
)

// Names of steps whose failure means something to a person: package runtime turns
// them into the exit codes that Docker gives.
const (
	StepCwd  = "working directory"
	StepExec = "exec"
	StepUser = "user"
	// StepFind looks for the command.
	StepFind = "command"
)

// run is the end of every program: streams, identity, working directory, execve.
func (c Container) run(b *spawn.Builder, procfs spawn.Arg) error {
	p := c.Spec.Process
	if c.Init {
		b.Step("init")
		b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_NAME), b.Str("carob-init"))
		b.Init()
		b.Call(unix.SYS_SETSID)
	}
	e := ending{p: p, linux: c.Spec.Linux, slave: c.Files.Slave, createCwd: c.CreateCwd, lastCap: c.LastCap, seccomp: c.Seccomp, alone: c.Alone}
	return e.add(b, procfs)
}

// ending is how every program ends, a container's or an exec's.
type ending struct {
	p         *specs.Process
	linux     *specs.Linux
	slave     int
	createCwd bool
	lastCap   int
	seccomp   Seccomp
	alone     *Alone // nil below a supervisor
	file      string // what is executed, "" is what the arguments say
}

// candidates are the files that the command may be.
func (e *ending) candidates() []string {
	if e.file != "" {
		return []string{e.file}
	}
	return lookup(e.p.Args[0], e.p.Env)
}

func (e *ending) add(b *spawn.Builder, procfs spawn.Arg) error {
	switch {
	case e.alone != nil && e.slave < 0 && !e.alone.Streams:
		e.alone.inherited(b, e.p)
	default:
		streams(b, e.p, e.slave)
	}
	workingDir(b, e.p.Cwd, e.createCwd)
	if err := attributes(b, e.p, e.linux); err != nil {
		return err
	}
	if e.alone != nil {
		if err := find(b, e.candidates()); err != nil {
			return err
		}
	}
	confine(b, e.p, procfs)
	if e.alone != nil { // a filter that is there before execve need not allow these
		if e.alone.Start >= 0 {
			spawn.Mortal(b)
		}
		e.descriptors(b)
	}
	e.listen(b, !e.p.NoNewPrivileges)
	if err := e.identity(b); err != nil {
		return err
	}
	e.listen(b, e.p.NoNewPrivileges)
	e.alone.gate(b)
	e.execute(b)
	return nil
}

// listen loads a filter with a listener, which somebody must have before the process
// goes on. now is whether this is the place for it: without no_new_privs it takes
// privileges that identity gives up.
func (e *ending) listen(b *spawn.Builder, now bool) {
	if !now || e.seccomp.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 || e.alone == nil {
		return
	}
	b.Step("seccomp")
	listener := load(b, e.seccomp).Result()
	e.alone.wait(b, StepListener, listener)
	b.Close(listener)
	e.seccomp = Seccomp{} // it is there
}

// oomScoreAdj sets the score through the supervisor's procfs, which nobody in a
// container can have replaced (CVE-2019-16884). The files of a process that is not
// dumpable belong to the host's root, so for these three calls it is. Lowering the
// score below the supervisor's own takes CAP_SYS_RESOURCE on the host: what is not
// given stays as it was, and inspect shows it.
func oomScoreAdj(b *spawn.Builder, p *specs.Process) {
	adj := 0
	if p.OOMScoreAdj != nil {
		adj = *p.OOMScoreAdj
	}
	b.Step("oom_score_adj")
	text := strconv.Itoa(adj)
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_DUMPABLE), spawn.Imm(1), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	f := b.Call(unix.SYS_OPENAT, cwd(), b.Str("/proc/self/oom_score_adj"), spawn.Imm(unix.O_WRONLY|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	b.Call(unix.SYS_WRITE, f, b.Str(text), spawn.Imm(len(text))).Allow(uintptr(unix.EACCES))
	b.Close(f)
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_DUMPABLE), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
}

// Exec is what the program of one more process in a running container is made
// from. The container's first process is the target that Spawn names.
type Exec struct {
	Process *specs.Process
	// File is what is executed, "" is what the process's arguments say.
	File string
	// Namespaces are the CLONE_NEW flags of what to enter besides the pid namespace:
	// all in which the target differs from the supervisor.
	Namespaces uint64
	// Cgroups, Group and Slave are places of passed files, as in Files.
	Cgroups []int
	Group   int
	Slave   int
	LastCap int
	Seccomp Seccomp
	// Linux has the container's personality and memory policy; nil is none.
	Linux *specs.Linux
	// Alone is nil below a supervisor.
	Alone *Alone
}

// Program returns the exec's program: the container's, with every namespace joined
// and no world to build.
func (x Exec) Program() (*spawn.Builder, error) {
	b := &spawn.Builder{}
	if x.Alone != nil {
		if err := x.initially(b); err != nil {
			return nil, err
		}
		x.Alone.begin(b, x.Process, true)
	} else {
		oomScoreAdj(b, x.Process)
	}
	kernelFiles := procfs(b, x.Process)
	if err := x.enter(b); err != nil {
		return nil, err
	}
	if x.Alone != nil && x.Alone.Place {
		x.Alone.wait(b, StepPlace, spawn.Imm(0))
	}
	b.Step("session")
	b.Call(unix.SYS_SETSID)
	e := ending{p: x.Process, linux: x.Linux, slave: x.Slave, lastCap: x.LastCap, seccomp: x.Seccomp, alone: x.Alone, file: x.File}
	return b, e.add(b, kernelFiles)
}

// initially pins the process while it is the runtime's and on its way.
func (x Exec) initially(b *spawn.Builder) error {
	if x.Process.ExecCPUAffinity == nil {
		return nil
	}
	return affinity(b, "process.execCPUAffinity.initial", x.Process.ExecCPUAffinity.Initial)
}

// enter joins the container's namespaces and cgroup.
func (x Exec) enter(b *spawn.Builder) error {
	b.Step("namespaces: join")
	spawn.Enter(b, spawn.File(spawn.FileTarget), x.Namespaces&^unix.CLONE_NEWCGROUP|unix.CLONE_NEWPID|unix.CLONE_NEWNS)
	if x.Group >= 0 {
		cloneIntoCgroup(b, Files{Cgroups: x.Cgroups, Group: x.Group}, 0)
	} else {
		b.Fork(0)
		joinCgroup(b, x.Cgroups)
	}
	if x.Namespaces&unix.CLONE_NEWUSER != 0 {
		becomeRoot(b)
	}
	if x.Namespaces&unix.CLONE_NEWCGROUP != 0 { // from inside, the way into the group would be closed
		b.Step("cgroup namespace: join")
		spawn.Enter(b, spawn.File(spawn.FileTarget), unix.CLONE_NEWCGROUP)
	}
	if x.Process.ExecCPUAffinity == nil {
		if x.Alone != nil {
			allProcessors(b)
		}
		return nil
	}
	return affinity(b, "process.execCPUAffinity.final", x.Process.ExecCPUAffinity.Final)
}

// streams puts the process's ends at 0, 1 and 2; what is not there reads or writes
// the container's /dev/null. The streams are given to the process's user, so that
// it can open /dev/stdout.
func streams(b *spawn.Builder, p *specs.Process, slave int) {
	b.Step("streams")
	if p.Terminal && slave >= 0 {
		b.Call(unix.SYS_IOCTL, passed(slave), spawn.Imm(unix.TIOCSCTTY), spawn.Imm(0))
		for n := range 3 {
			b.Call(unix.SYS_DUP3, passed(slave), spawn.Imm(n), spawn.Imm(0))
		}
		return
	}
	null := b.Call(unix.SYS_OPENAT, cwd(), b.Str("/dev/null"), spawn.Imm(unix.O_RDWR|unix.O_CLOEXEC), spawn.Imm(0)).Allow(uintptr(unix.ENOENT)).Result()
	pipes(b, p, [3]spawn.Arg{null, null, null})
}

// pipes puts the passed streams, or else those, at 0, 1 and 2. Only what was passed is
// given to the process's user: /dev/null may be the host's.
func pipes(b *spawn.Builder, p *specs.Process, otherwise [3]spawn.Arg) {
	for n := range 3 {
		b.Call(unix.SYS_DUP3, otherwise[n], spawn.Imm(n), spawn.Imm(0))
		b.Call(unix.SYS_DUP3, spawn.File(n), spawn.Imm(n), spawn.Imm(0)).Allow(uintptr(unix.EBADF)).SkipOnErr(1)
		b.Call(unix.SYS_FCHOWN, spawn.Imm(n), spawn.Imm(p.User.UID), spawn.Imm(p.User.GID)).AllowAny()
	}
}

// workingDir resolves without magic links: /proc/self/fd/N as a working directory
// led out of the container once (CVE-2024-21626).
func workingDir(b *spawn.Builder, dir string, create bool) {
	b.Step(StepCwd)
	at := ensure(b, dir, inImage, func() {
		if create {
			mkdirAll(b, path.Clean(dir), inImage)
		}
	})
	b.Call(unix.SYS_FCHDIR, at)
	b.Close(at)
}

// descriptors closes everything at execve and unblocks signals.
func (e *ending) descriptors(b *spawn.Builder) {
	first := 3
	if e.alone != nil {
		first += e.alone.Preserve
	}
	b.Step("descriptors")
	b.Call(unix.SYS_CLOSE_RANGE, spawn.Imm(first), spawn.Imm(^uint32(0)), spawn.Imm(unix.CLOSE_RANGE_CLOEXEC))
	b.Call(unix.SYS_RT_SIGPROCMASK, spawn.Imm(unix.SIG_SETMASK), b.Bytes(make([]byte, 8)), spawn.Imm(0), spawn.Imm(8))
}

// execute tries the command, in each directory of PATH when its name has no slash, as
// execvp does.
func (e *ending) execute(b *spawn.Builder) {
	if e.alone == nil {
		e.descriptors(b)
	}
	p := e.p
	if p.NoNewPrivileges {
		seccomp(b, e.seccomp)
	}
	b.Step(StepExec)
	argv, env := b.Strings(p.Args), b.Strings(p.Env)
	candidates := e.candidates()
	for i, file := range candidates {
		call := b.Call(unix.SYS_EXECVE, b.Str(file), argv, env)
		if i < len(candidates)-1 {
			call.Allow(uintptr(unix.ENOENT), uintptr(unix.ENOTDIR), uintptr(unix.EACCES))
		}
	}
}

// lookup lists the files that a command may be.
func lookup(command string, env []string) []string {
	if strings.ContainsRune(command, '/') {
		return []string{command}
	}
	var files []string
	for _, e := range env {
		dirs, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range strings.Split(dirs, ":") {
			if path.IsAbs(dir) { // a relative entry would run what lies in the working directory
				files = append(files, path.Join(dir, command))
			}
		}
	}
	if len(files) == 0 {
		return []string{"/" + command}
	}
	return files
}
