// Package ns makes and opens namespaces. Files it returns are close-on-exec and
// the caller's to close. It keeps no state.
package ns

import (
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
	"carob/internal/sys/task"
)

// Open opens a namespace of a process; kind is a name in /proc/PID/ns. NotFound
// when the process is gone.
func Open(pid int, kind string) (*os.File, error) {
	return task.Ask(pid, func(dir string) (*os.File, error) {
		name := dir + "/ns/" + kind
		n, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fault.Wrap(fault.NotFound, name, err)
		}
		return os.NewFile(uintptr(n), name), nil
	})
}

// Root opens the root directory that a process sees, as an O_PATH descriptor. NotFound when
// the process is gone.
func Root(pid int) (*os.File, error) {
	return task.Ask(pid, func(dir string) (*os.File, error) { return fd.OpenPath(dir + "/root") })
}

// OpenPath opens a namespace by a path, and makes sure that it is one of this kind, named
// as the OCI specification names it: a file of another kind is fault.Invalid.
func OpenPath(path, kind string) (*os.File, error) {
	n, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, kind+" namespace "+path, err)
	}
	flags := map[string]int{
		"pid": unix.CLONE_NEWPID, "network": unix.CLONE_NEWNET, "mount": unix.CLONE_NEWNS, "ipc": unix.CLONE_NEWIPC,
		"uts": unix.CLONE_NEWUTS, "user": unix.CLONE_NEWUSER, "cgroup": unix.CLONE_NEWCGROUP, "time": unix.CLONE_NEWTIME,
	}
	is, err := unix.IoctlRetInt(n, unix.NS_GET_NSTYPE)
	if err != nil || is != flags[kind] {
		_ = unix.Close(n)
		return nil, fault.New(fault.Invalid, kind+" namespace "+path+": is none")
	}
	return os.NewFile(uintptr(n), path), nil
}

// Same reports whether two processes are in the same namespace of a kind; with one that is
// gone none is.
func Same(a, b int, kind string) bool {
	read := func(dir string) (string, error) { return os.Readlink(dir + "/ns/" + kind) }
	one, err := task.Ask(a, read)
	if err != nil {
		return false
	}
	two, err := task.Ask(b, read)
	return err == nil && one == two
}

// Mapping maps Size ids from 0 on to those from HostID on, users and groups alike.
type Mapping struct{ HostID, Size uint32 }

// write gives a process's new user namespace its mapping (user_namespaces(7)).
func (m Mapping) write(pid int) error {
	line := []byte("0 " + strconv.Itoa(int(m.HostID)) + " " + strconv.Itoa(int(m.Size)))
	for _, name := range []string{"uid_map", "gid_map"} {
		if err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/"+name, line, 0); err != nil {
			return fault.Wrap(fault.Denied, "user namespace: "+strings.TrimSuffix(name, "_map")+" map "+string(line), err)
		}
	}
	return nil
}

// NewUser makes a user namespace with this mapping that only the file keeps alive.
func NewUser(m Mapping) (*os.File, error) { return NewUserOf(m.write) }

// NewUserOf is NewUser with a function that gives the namespace of a process its mapping.
func NewUserOf(mapping func(pid int) error) (*os.File, error) {
	h, err := hold(unix.CLONE_NEWUSER)
	if err != nil {
		return nil, err
	}
	defer h.Release()
	if err := mapping(h.Pid); err != nil {
		return nil, err
	}
	return Open(h.Pid, "user")
}

// HoldOwned makes a child in new namespaces (CLONE_NEW…) that a new user namespace with
// this mapping owns.
func HoldOwned(m Mapping, namespaces uint64) (*Held, error) {
	h, err := hold(unix.CLONE_NEWUSER | namespaces)
	if err != nil {
		return nil, err
	}
	if err := m.write(h.Pid); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// Held is a child that does nothing until Release, or until this process ends.
type Held struct {
	Pid     int
	child   child
	release *os.File
}

// Hold makes a child in this process's namespaces.
func Hold() (*Held, error) { return hold(0) }

// hold shares memory with a child that stays in this process's cgroup. One that is put into
// another, for which Hold is, might be killed there for want of it, and with it all who
// share it.
func hold(namespaces uint64) (*Held, error) {
	wait, release, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer wait.Close()
	b := &spawn.Builder{CloneFlags: namespaces}
	untilReleased(b)
	child, err := start(b, []int{-1, -1, -1, -1, int(wait.Fd())}, namespaces != 0)
	if err != nil {
		release.Close()
		return nil, err
	}
	return &Held{child.Pid, child, release}, nil
}

// untilReleased waits for the end of the pipe that is the first file, which the end of
// this process is, too, whenever it comes. The child keeps nothing else open: among what it
// has inherited may be what other children are let go with.
func untilReleased(b *spawn.Builder) {
	b.Call(unix.SYS_DUP3, spawn.File(spawn.FirstFile), spawn.Imm(0), spawn.Imm(0)).Allow(uintptr(unix.EINVAL)) // it is there
	b.Call(unix.SYS_CLOSE_RANGE, spawn.Imm(1), spawn.Imm(math.MaxUint32), spawn.Imm(0))
	b.Call(unix.SYS_READ, spawn.Imm(0), b.Bytes(make([]byte, 8)), spawn.Imm(1))
}

// Release lets the child end and waits for that. Nil is nobody.
func (h *Held) Release() {
	if h == nil {
		return
	}
	h.release.Close()
	Reap(h.Pid)
	h.child.close()
}

// Ranges are the lines of a mapping: ids from the first number on, inside, are those from
// the second on, outside, as many as the third says.
type Ranges [][3]uint32

// Mappings reads how an open user namespace maps users and groups, as this process sees
// it: a child enters it and is looked at.
func Mappings(namespace *os.File) (users, groups Ranges, err error) {
	hold, release, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer hold.Close()
	b := &spawn.Builder{}
	b.Step("user namespace: join")
	b.Call(unix.SYS_SETNS, spawn.File(spawn.FirstFile+1), spawn.Imm(unix.CLONE_NEWUSER))
	b.Tell(spawn.Imm(0))
	untilReleased(b)
	child, err := start(b, []int{-1, -1, -1, -1, int(hold.Fd()), int(namespace.Fd())}, false)
	if err != nil {
		release.Close()
		return nil, nil, err
	}
	defer func() {
		release.Close()
		Reap(child.Pid)
		child.close()
	}()
	r, ok, errno := child.ReadReport()
	if errno != 0 || !ok || r.Kind != spawn.ReportNumber {
		return nil, nil, fault.Wrap(fault.Denied, "user namespace "+namespace.Name()+": join", unix.Errno(r.Value))
	}
	if users, err = readMap(child.Pid, "uid_map"); err == nil {
		groups, err = readMap(child.Pid, "gid_map")
	}
	return users, groups, err
}

func readMap(pid int, name string) (out Ranges, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + name)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, name, err)
	}
	for line := range strings.Lines(string(text)) {
		var r [3]uint32
		for i, f := range strings.Fields(line) {
			n, err := strconv.ParseUint(f, 10, 32)
			if err != nil || i > 2 {
				return nil, fault.New(fault.Internal, name+": is not as user_namespaces(7) says")
			}
			r[i] = uint32(n)
		}
		out = append(out, r)
	}
	return out, nil
}

// InUser tells whether this process is in a user namespace that is not the host's first.
func InUser() bool {
	const initial = 0xEFFFFFFD // USER_NS_INIT_INO of include/uapi/linux/nsfs.h, the same since Linux 3.8
	var st unix.Stat_t
	return unix.Stat("/proc/self/ns/user", &st) == nil && st.Ino != initial
}

// child is a process between clone and execve, with the program that it runs.
type child struct {
	spawn.Child
	program *spawn.Program
}

// close lets go of a child that has executed its command, or ended.
func (c child) close() {
	_ = unix.Close(c.PidFD)
	_ = unix.Close(c.Report)
	c.program.Close()
}

// start starts a program, with this process's memory if it may be shared.
func start(b *spawn.Builder, files []int, share bool) (child, error) {
	p, err := spawn.Link(b)
	if err != nil {
		return child{}, err
	}
	run := p.Start
	if share {
		run = p.StartShared
	}
	c, errno := run(files)
	if errno != 0 {
		p.Close()
		k := kind(errno)
		if errno == unix.ENOENT { // as ENODEV: only the cgroup can be missing
			k = fault.Conflict
		}
		return child{}, fault.Wrap(k, "clone3", errno)
	}
	return child{c, p}, nil
}

// Launch is a process to start in namespaces of its own, detached from this one:
// in a session of its own, and not ended with it.
type Launch struct {
	// Binary is executed; a sealed memory file cannot be overwritten through
	// /proc/PID/exe (CVE-2019-5736).
	Binary *os.File
	Args   []string
	Env    []string
	// Fresh are the CLONE_NEW flags of new namespaces; Users maps a new user
	// namespace.
	Fresh uint64
	Users Mapping
	// JoinUser and Join are namespaces to enter, with the CLONE_NEW flag of each.
	JoinUser *os.File
	Join     map[uint64]*os.File
	// Group is the directory of the cgroup v2 group to begin in, nil is this process's own.
	Group *os.File
	// Tasks are files of v1 groups to join by writing "0".
	Tasks []*os.File
	// Files become the descriptors 0, 1, 2, …; all others are closed.
	Files []*os.File
	// Share lets the process have this one's memory until execve, which is faster by what
	// this one has grown to. The group to begin in must have memory to spare: whoever is
	// killed for want of it takes all with him who share his.
	Share bool
}

// Start starts the process and returns its pid once execve has succeeded. It is
// this process's child, to be reaped when it ends. A cgroup that has been removed
// meanwhile is fault.Conflict.
func (l Launch) Start() (pid int, err error) {
	ready, release, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	defer release.Close()
	b, files := l.program(ready, release)
	child, err := start(b, files, l.Share)
	if err != nil {
		return 0, err
	}
	defer child.close()
	if l.Fresh&unix.CLONE_NEWUSER != 0 {
		err = l.Users.write(child.Pid)
	}
	if err == nil {
		_, err = release.Write([]byte{0})
	}
	if err == nil {
		err = outcome(b, child.Child)
	}
	if err != nil {
		_ = unix.Kill(child.Pid, unix.SIGKILL)
		_, _ = unix.Wait4(child.Pid, nil, 0, nil)
		return 0, err
	}
	return child.Pid, nil
}

func outcome(b *spawn.Builder, c spawn.Child) error {
	r, failed, errno := c.ReadReport()
	switch {
	case errno != 0:
		return errno
	case !failed:
		return nil
	}
	step := "?"
	if int(r.Step) < len(b.Steps()) {
		step = b.Steps()[r.Step]
	}
	e := unix.Errno(r.Value)
	return fault.Wrap(kind(e), step, e)
}

// kind: ENODEV is a cgroup that was removed between its opening and the joining.
func kind(e unix.Errno) fault.Kind {
	switch e {
	case unix.EPERM, unix.EACCES, unix.ENOSPC:
		return fault.Denied
	case unix.ENODEV:
		return fault.Conflict
	}
	return fault.Internal
}

// program returns the launch as a program with its file table.
func (l Launch) program(ready, release *os.File) (*spawn.Builder, []int) {
	table := []int{-1, -1, -1, -1}
	pass := func(f *os.File) spawn.Arg {
		table = append(table, int(f.Fd()))
		return spawn.File(len(table) - 1)
	}
	b := &spawn.Builder{}
	b.Step("wait for the user mapping")
	b.Call(unix.SYS_CLOSE, pass(release)) // its own copy would keep it waiting for a dead daemon
	b.Call(unix.SYS_READ, pass(ready), b.Bytes(make([]byte, 8)), spawn.Imm(1))
	if l.Group != nil {
		b.CloneInto(pass(l.Group))
	}
	b.Step("cgroup: join")
	for _, f := range l.Tasks {
		b.Call(unix.SYS_WRITE, pass(f), b.Str("0"), spawn.Imm(1))
	}
	if l.JoinUser == nil {
		b.CloneFlags = l.Fresh
	}
	if l.JoinUser != nil {
		b.Step("user namespace: join")
		b.Call(unix.SYS_SETNS, pass(l.JoinUser), spawn.Imm(unix.CLONE_NEWUSER))
	}
	for flag, f := range l.Join {
		b.Step("namespaces: join " + f.Name())
		b.Call(unix.SYS_SETNS, pass(f), spawn.Imm(flag))
	}
	if l.JoinUser != nil {
		b.Step("namespaces: make")
		b.Call(unix.SYS_UNSHARE, spawn.Imm(l.Fresh))
	}
	b.Step("become root of the user namespace")
	b.Call(unix.SYS_SETSID)
	if l.JoinUser != nil || l.Fresh&unix.CLONE_NEWUSER != 0 {
		b.Call(unix.SYS_SETRESGID, spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
		b.Call(unix.SYS_SETGROUPS, spawn.Imm(0), spawn.Imm(0))
		b.Call(unix.SYS_SETRESUID, spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	}
	b.Step("exec " + l.Binary.Name())
	binary := spawn.Imm(len(l.Files))
	l.place(b, pass, binary)
	b.Call(unix.SYS_RT_SIGPROCMASK, spawn.Imm(unix.SIG_SETMASK), b.Bytes(make([]byte, 8)), spawn.Imm(0), spawn.Imm(8))
	b.Call(unix.SYS_EXECVEAT, binary, b.Str(""), b.Strings(l.Args), b.Strings(l.Env), spawn.Imm(unix.AT_EMPTY_PATH))
	return b, table
}

// place brings the files to 0, 1, 2, … and the binary behind them. Every one is
// first copied above all targets, so that none is overwritten before its turn.
func (l Launch) place(b *spawn.Builder, pass func(*os.File) spawn.Arg, binary spawn.Arg) {
	const above = 1000
	all := append(append([]*os.File{}, l.Files...), l.Binary)
	for i, f := range all {
		b.Call(unix.SYS_DUP3, pass(f), spawn.Imm(above+i), spawn.Imm(unix.O_CLOEXEC))
	}
	for i := range l.Files {
		b.Call(unix.SYS_DUP3, spawn.Imm(above+i), spawn.Imm(i), spawn.Imm(0))
	}
	b.Call(unix.SYS_DUP3, spawn.Imm(above+len(l.Files)), binary, spawn.Imm(unix.O_CLOEXEC))
	b.Call(unix.SYS_CLOSE_RANGE, spawn.Imm(len(l.Files)), spawn.Imm(^uint32(0)), spawn.Imm(unix.CLOSE_RANGE_CLOEXEC))
}

// Reap waits for a child that has ended or is about to; somebody else's child is
// left alone.
func Reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}

// Kill sends SIGKILL; a process that is gone is not an error.
func Kill(pid int) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
		return fault.Wrap(fault.Internal, "kill "+strconv.Itoa(pid), err)
	}
	return nil
}
