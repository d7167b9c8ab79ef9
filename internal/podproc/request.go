package podproc

import (
	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
	"carob/internal/sys/spawn"
)

// answered is no errno: the request has been answered or will be.
const answered = ^loop.Errno(0)

// request carries out a request. Files that it does not own are closed by the
// caller.
func (v *Supervisor) request(q *wire.Packet, files []int) loop.Errno {
	v.conn.settled = v.conn.settled || q.Op != wire.Setup || q.A != wire.Ahead
	switch q.Op {
	case wire.Hello:
		v.conn.send(&wire.Packet{Op: q.Op, Seq: q.Seq, A: wire.Version, B: v.count(), C: uint64(loop.Self())})
		return answered
	case wire.Setup:
		return v.setup(q, files)
	case wire.Spawn:
		return v.spawn(q, files)
	case wire.List:
		return v.list(q)
	case wire.Quit:
		return v.leave(q)
	case wire.Signal, wire.Attach, wire.Resize, wire.Reopen, wire.Forget, wire.Adopt, wire.End:
		p := v.find(q.Handle)
		if p == nil {
			return loop.ENOENT
		}
		if q.Op == wire.Adopt || q.Op == wire.End {
			return adopter{v}.request(p, q, files)
		}
		return v.requestOf(p, q, files)
	}
	return loop.ENOSYS
}

// requestOf carries out a request about one process.
func (v *Supervisor) requestOf(p *process, q *wire.Packet, files []int) loop.Errno {
	if q.Op == wire.Forget {
		if p.state != ended {
			return loop.EBUSY
		}
		p.handle = 0
		v.recycle(p)
		return 0
	}
	if p.state == ended || p.buried {
		return loop.ESRCH
	}
	switch q.Op {
	case wire.Signal:
		if p.flags&wire.Helper != 0 {
			return adopter{v}.kill(p, int(q.A))
		}
		return loop.Kill(p.pidfd, int(q.A))
	case wire.Attach:
		return v.attach(p, q.A, files)
	case wire.Resize:
		if !p.terminal() {
			return loop.ENOTTY
		}
		return loop.SetSize(p.out.fd, uint16(q.A), uint16(q.B))
	default: // Reopen
		if len(files) != 1 {
			return loop.EINVAL
		}
		v.close(&p.log.fd)
		p.log.use(own(files, 0), q.A)
		return 0
	}
}

// setup runs a program in this process.
func (v *Supervisor) setup(q *wire.Packet, files []int) loop.Errno {
	if len(files) == 0 {
		return loop.EINVAL
	}
	prog := &v.prog
	if e := prog.Load(files[0]); e != 0 {
		return e
	}
	defer prog.Close()
	table, e := v.table.layOut(prog, files[1:])
	if e != 0 {
		return e
	}
	step, e := prog.RunHere(table)
	v.conn.send(&wire.Packet{Op: q.Op, Seq: q.Seq, Err: uint16(e), A: uint64(step)})
	return answered
}

// fileTable is where the files of a program to be started are laid out.
type fileTable [spawn.FirstFile + wire.MaxFiles]int

// layOut returns the table of a program, without its streams.
func (f *fileTable) layOut(prog *spawn.Program, files []int) ([]int, loop.Errno) {
	t := f[:spawn.FirstFile+len(files)]
	for i := range spawn.FirstFile {
		t[i] = -1
	}
	copy(t[spawn.FirstFile:], files)
	if prog.Files() > len(t) {
		return nil, loop.EINVAL
	}
	return t, 0
}

func (v *Supervisor) list(q *wire.Packet) loop.Errno {
	for p := v.procs; p != nil; p = p.next {
		if p.handle == 0 {
			continue
		}
		v.conn.send(&wire.Packet{
			Op: q.Op, Seq: q.Seq, Handle: p.handle,
			A: uint64(p.pid), B: p.flags, C: uint64(p.status), D: uint64(p.endedAt),
		})
	}
	v.conn.send(&wire.Packet{Op: q.Op, Seq: q.Seq})
	return answered
}

// leave ends the supervisor. Processes die with it only when that is asked for,
// and so do the last bytes for clients that have not read them yet.
func (v *Supervisor) leave(q *wire.Packet) loop.Errno {
	if q.A != 1 {
		for p := v.procs; p != nil; p = p.next {
			if p.state < failed || p.out.sinks != nil || p.err.sinks != nil {
				return loop.EBUSY
			}
		}
	}
	for p := v.procs; p != nil; p = p.next {
		switch {
		case p.pidfd < 0:
		case p.flags&wire.Helper != 0:
			_ = adopter{v}.kill(p, loop.SIGKILL) // as below
		default:
			_ = loop.Kill(p.pidfd, loop.SIGKILL) // it may have ended just now
		}
	}
	v.quit = true
	return 0
}

// attach adds clients to a process: the files are their ends of standard input,
// output and error, as the flags say. All or none are attached.
func (v *Supervisor) attach(p *process, flags uint64, files []int) loop.Errno {
	const known = wire.HasStdin | wire.HasStdout | wire.HasStderr
	if flags&^known != 0 || len(files) != wire.Files(flags) {
		return loop.EINVAL
	}
	if flags&wire.HasStdin != 0 && p.in.fd < 0 {
		if p.flags&(wire.OpenStdin|wire.HasStdin|wire.HasTerminal) == 0 {
			return loop.ENXIO
		}
		return loop.EPIPE // it has been closed
	}
	for _, fd := range files {
		if e := loop.Unblock(fd); e != 0 {
			return e
		}
	}
	n := 0
	if flags&wire.HasStdin != 0 {
		v.addSource(p, own(files, n))
		n++
	}
	if flags&wire.HasStdout != 0 {
		v.addSink(&p.out, own(files, n))
		n++
	}
	if flags&wire.HasStderr != 0 {
		v.addSink(&p.err, own(files, n))
	}
	return 0
}
