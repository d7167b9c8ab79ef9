package podproc

import (
	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
	"carob/internal/sys/spawn"
)

// state is where a process is in its life.
type state uint8

const (
	starting state = iota // its program has not come to execve
	running
	made   // its helper has made it; who it is has not been said
	failed // its program has failed; the child is not reaped yet
	ended
)

// process is a container's first process or an exec.
type process struct {
	next   *process
	handle uint64 // 0: nobody knows it any more
	flags  uint64 // those of wire
	state  state

	pid, pidfd int
	report     int    // pipe, while starting
	seq, turn  uint32 // of the Spawn to be answered
	out, err   stream
	in         stdin
	log        logFile

	due   adoption // pid 0: none waits
	given bool     // given up: its helper is being killed

	oom                int // file that counts OOM kills
	killsBefore, kills uint64
	status             uint32
	endedAt            int64 // nanoseconds since 1970
	buried             bool  // it has been reaped, and its status is known
}

func (p *process) terminal() bool { return p.flags&wire.HasTerminal != 0 }

// spawn starts a process; reports finds out whether it got to its execve.
func (v *Supervisor) spawn(q *wire.Packet, files []int) loop.Errno {
	const known = wire.StdinOnce<<1 - 1 | wire.Helper
	flags, given := q.A, 1+wire.Files(q.A)
	if q.Handle == 0 || flags&^known != 0 || len(files) < given {
		return loop.EINVAL
	}
	if v.find(q.Handle) != nil {
		return loop.EEXIST
	}
	target := -1
	if q.B != 0 {
		t := v.find(q.B)
		if t == nil || t.pidfd < 0 {
			return loop.ESRCH
		}
		target = t.pidfd
	}
	prog := &v.prog
	if e := prog.Load(files[0]); e != 0 {
		return e
	}
	defer prog.Close()
	table, e := v.table.layOut(prog, files[given:])
	if e != 0 {
		return e
	}
	table[spawn.FileTarget] = target
	if !v.expecting() {
		v.strangers = strangers{} // before their pids come round again
	}
	p := v.newProcess(q.Handle, flags|wire.Starting)
	p.seq, p.turn = q.Seq, v.conn.turn
	if e := v.launch(p, prog, launch{table, files[1:given], q.C}); e != 0 {
		p.handle = 0
		v.release(p)
		v.recycle(p)
		return e
	}
	return answered
}

// launch is what a process is started with: the table of its program's files, the
// files for the supervisor in the order of the flags, and the room in its log.
type launch struct {
	table, own []int
	room       uint64
}

func (v *Supervisor) launch(p *process, prog *spawn.Program, l launch) loop.Errno {
	next := 0
	take := func(flag uint64) int {
		if p.flags&flag == 0 {
			return -1
		}
		next++
		return own(l.own, next-1)
	}
	p.log.use(take(wire.HasLog), l.room)
	p.oom = take(wire.HasOOM)
	terminal := take(wire.HasTerminal)
	p.killsBefore = kills(p.oom)
	e := v.openStreams(p, terminal, l.table)
	if e == 0 {
		// Before the process can write, so that they miss nothing.
		e = v.attach(p, p.flags&(wire.HasStdin|wire.HasStdout|wire.HasStderr), l.own[next:])
	}
	var child spawn.Child
	if e == 0 {
		child, e = v.nest.Start(prog, l.table)
	}
	for _, fd := range l.table[:spawn.FileTarget] {
		if fd >= 0 {
			loop.Close(fd)
		}
	}
	if e != 0 {
		return e
	}
	p.pid, p.pidfd, p.report = child.Pid, child.PidFD, child.Report
	e = loop.Unblock(p.report)
	if e == 0 {
		e = v.watch(p.report, watch{role: report, events: loop.Readable, p: p})
	}
	if e == 0 {
		e = v.watchExit(p)
	}
	if e != 0 { // out of memory or descriptors: it cannot be kept
		_ = loop.Kill(p.pidfd, loop.SIGKILL) // it may have ended already
		v.close(&p.pidfd)
		v.close(&p.report) // what dies unwatched is reaped with the next that ends
	}
	return e
}

// openStreams makes the pipes of a process and puts the child's ends into the
// table.
func (v *Supervisor) openStreams(p *process, terminal int, table []int) (e loop.Errno) {
	if terminal >= 0 {
		p.out.fd, p.in.fd = terminal, terminal
		return v.watchOutput(&p.out, output)
	}
	if p.flags&(wire.OpenStdin|wire.HasStdin) != 0 {
		if table[spawn.FileStdin], p.in.fd, e = pipe(); e != 0 {
			return e
		}
		if e = loop.Unblock(p.in.fd); e != 0 {
			return e
		}
		// For its failure only: the last reader is gone.
		if e = v.watch(p.in.fd, watch{role: input, events: loop.Failed, p: p}); e != 0 {
			return e
		}
	}
	if p.out.fd, table[spawn.FileStdout], e = pipe(); e != 0 {
		return e
	}
	if p.err.fd, table[spawn.FileStderr], e = pipe(); e != 0 {
		return e
	}
	if e = v.watchOutput(&p.out, output); e != 0 {
		return e
	}
	return v.watchOutput(&p.err, errput)
}

// pipe is loop.Pipe with -1 for what there is not.
func pipe() (r, w int, e loop.Errno) {
	if r, w, e = loop.Pipe(); e != 0 {
		return -1, -1, e
	}
	return r, w, 0
}

// reports reads what a starting child has to say, as far as it has said it.
func (v *Supervisor) reports(p *process) {
	for p.state == starting {
		r, ok, e := spawn.Child{Report: p.report}.ReadReport()
		switch {
		case e == loop.EAGAIN:
			return
		case e != 0:
			v.fail(p, e, 0)
		case !ok:
			v.begin(p)
		case r.Kind == spawn.ReportPid:
			v.divide(p, int(r.Value))
		default:
			v.fail(p, loop.Errno(r.Value), r.Step)
		}
	}
}

// begin notes that the child has executed its command, or is beyond reporting. A
// helper's command is still the process's beginning.
func (v *Supervisor) begin(p *process) {
	v.close(&p.report)
	p.state = running
	if p.flags&wire.Helper != 0 {
		return
	}
	p.flags &^= wire.Starting
	v.conn.began(p)
	if p.buried {
		p.endedAt = loop.Nanotime()
		v.finish(p)
	}
}

// divide notes that the program goes on in another child, or went.
func (v *Supervisor) divide(p *process, pid int) {
	if status, ok := v.strangers.take(pid); ok {
		v.letGo(p)
		p.pid, p.pidfd, p.status, p.buried = pid, -1, status, true
		return
	}
	fd, e := loop.Open(pid)
	if e != 0 {
		loop.KillChild(pid)
		v.fail(p, e, 0)
		return
	}
	v.letGo(p)
	p.pid, p.pidfd = pid, fd
	if e := v.watchExit(p); e != 0 {
		loop.KillChild(pid)
		v.fail(p, e, 0)
	}
}

// fail notes that a call of the program has failed. If nobody waits for the
// answer, the process has begun and will end with its child's status, 127, for
// the next daemon to find.
func (v *Supervisor) fail(p *process, e loop.Errno, step uint32) {
	if p.turn != v.conn.turn || v.conn.fd < 0 {
		v.begin(p)
		return
	}
	v.close(&p.report)
	p.state = failed
	v.conn.send(&wire.Packet{Op: wire.Spawn, Seq: p.seq, Handle: p.handle, Err: uint16(e), A: uint64(step)})
	p.handle = 0
	v.release(p)
	if p.buried {
		v.recycle(p)
	}
}

// release closes everything of a process except for its pidfd, and drops its
// clients.
func (v *Supervisor) release(p *process) {
	v.close(&p.report)
	v.closeInput(p)
	for _, s := range []*stream{&p.out, &p.err} {
		v.endStream(s)
		for s.sinks != nil {
			v.dropSink(s.sinks)
		}
	}
	v.close(&p.log.fd)
	v.close(&p.oom)
}
