package podproc

import (
	"bytes"

	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// adopter is the supervisor at what has to do with helpers.
type adopter struct{ *Supervisor }

// request carries out an Adopt or an End.
func (v adopter) request(p *process, q *wire.Packet, files []int) loop.Errno {
	if q.Op == wire.End {
		return v.end(p, q)
	}
	return v.adopt(p, q, files)
}

// kill sends a signal to a process's helper and what that has started. One that is killed
// has made nothing, even if it had just ended as it should: nobody waits for that.
func (v adopter) kill(p *process, signal int) loop.Errno {
	if p.pidfd < 0 { // made, and nobody's child yet
		return loop.ESRCH
	}
	p.given = p.given || signal == loop.SIGKILL
	_ = loop.KillGroup(p.pid, signal) // it leads one as soon as its program has come so far
	return loop.Kill(p.pidfd, signal)
}

// helped notes the end of a process's helper.
func (v adopter) helped(p *process, status uint32) {
	p.pid = 0
	if p.given && status == 0 {
		status = uint32(loop.SIGKILL)
	}
	v.watchOrphans()
	if status == 0 {
		p.state = made
		p.flags = p.flags&^wire.Starting | wire.Made
		v.conn.began(p)
		return
	}
	if p.turn != v.conn.turn || v.conn.fd < 0 { // for the next daemon to find
		p.flags &^= wire.Starting
		p.status, p.endedAt = status, loop.Nanotime()
		v.finish(p)
		return
	}
	v.conn.send(&wire.Packet{Op: wire.Spawn, Seq: p.seq, Handle: p.handle, Err: uint16(loop.ECHILD), A: uint64(status)})
	p.handle = 0
	p.state = ended
	v.release(p)
	v.recycle(p)
}

// watchOrphans watches the children that a helper has left and nobody knows, so that they
// are reaped as soon as they end: gVisor's gofers, for whose end `runsc delete` waits. A
// kernel without CONFIG_PROC_CHILDREN has no such list; there they are reaped with the next
// process that ends.
func (v adopter) watchOrphans() {
	list, e := v.buf.file("/proc/thread-self/children")
	if e != 0 {
		return
	}
	for len(list) > 0 {
		var word []byte
		word, list, _ = bytes.Cut(list, []byte(" "))
		if pid := number(word); pid > 0 && v.child(pid) == nil {
			v.watchOrphan(pid)
		}
	}
}

// watchOrphan reports whether the end of a child will be seen.
func (v adopter) watchOrphan(pid int) bool {
	for _, w := range v.slots {
		if w.role == middle && w.pid == pid {
			return true
		}
	}
	fd, e := loop.Open(pid)
	if e != 0 {
		return false
	}
	if v.watch(fd, watch{role: middle, events: loop.Readable | loop.Edge, pid: pid}) != 0 {
		loop.Close(fd)
		return false
	}
	return true
}

// number reads a decimal number, 0 for what is none.
func number(digits []byte) (n int) {
	for _, c := range digits {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}

// adoption is what an Adopt asks for.
type adoption struct {
	pid       int
	flags     uint64
	files     [4]int // -1: none
	seq, turn uint32
}

// adopt answers an Adopt, now or, when the child's maker is still there, as soon as that
// has ended: crun's helper ends before the process that it has forked for its work.
func (v adopter) adopt(p *process, q *wire.Packet, files []int) loop.Errno {
	const known = wire.HasTerminal | wire.HasStdin | wire.HasStdout | wire.HasStderr
	switch {
	case p.state != made && (p.state != running || q.B != 0) || p.due.pid != 0:
		return loop.EBUSY
	case q.A&^known != 0 || len(files) != wire.Files(q.A):
		return loop.EINVAL
	case q.B == 0: // nobody's child: its streams are all there is to adopt
		return v.adoptStreams(p, q.A, files)
	}
	a := adoption{pid: int(q.B), flags: q.A, files: [4]int{-1, -1, -1, -1}, seq: q.Seq, turn: v.conn.turn}
	for i := range files {
		a.files[i] = own(files, i)
	}
	if e := v.resolve(p, a); e != 0 {
		v.answerAdopt(p, a, e)
	}
	return answered
}

// resolve adopts a child, or waits for the end of its maker.
func (v adopter) resolve(p *process, a adoption) loop.Errno {
	if v.child(a.pid) != nil {
		return loop.ECHILD
	}
	status, gone := uint32(0), false
	if !loop.Mine(a.pid) {
		status, gone = v.strangers.take(a.pid)
		maker := loop.Parent(a.pid)
		switch {
		case gone || maker == loop.Self(): // which it has just become
		case maker != 0 && loop.Mine(maker) && v.watchOrphan(maker):
			p.due = a
			return 0
		default:
			return loop.ECHILD
		}
	}
	if e := v.adoptStreams(p, a.flags, a.files[:wire.Files(a.flags)]); e != 0 {
		return e
	}
	if e := v.keep(p, a.pid, gone); e != 0 {
		return e
	}
	v.answerAdopt(p, a, 0)
	if gone {
		p.status, p.endedAt = status, loop.Nanotime()
		v.finish(p)
	}
	return 0
}

// resolveDue goes on with what waits for the end of a maker, now that something has ended.
func (v adopter) resolveDue() {
	for p := v.procs; p != nil; {
		next := p.next
		if a := p.due; a.pid != 0 {
			p.due = adoption{}
			if e := v.resolve(p, a); e != 0 {
				v.answerAdopt(p, a, e)
			}
		}
		p = next
	}
}

// answerAdopt answers, and closes the files of what was refused.
func (v adopter) answerAdopt(p *process, a adoption, e loop.Errno) {
	if e != 0 {
		closeAll(a.files[:])
	}
	if a.turn == v.conn.turn {
		v.conn.send(&wire.Packet{Op: wire.Adopt, Seq: a.seq, Handle: p.handle, Err: uint16(e), A: uint64(a.pid)})
	}
}

// keep makes a child the process.
func (v adopter) keep(p *process, pid int, gone bool) loop.Errno {
	if !gone {
		fd, e := loop.Open(pid)
		if e != 0 {
			return e
		}
		p.pidfd = fd
		if e := v.watchExit(p); e != 0 {
			v.close(&p.pidfd)
			return e
		}
	}
	p.pid, p.state = pid, running
	p.flags &^= wire.Helper | wire.Made
	return 0
}

// adoptStreams gives the process its terminal, in place of the pipes that its helper
// had, and clients.
func (v adopter) adoptStreams(p *process, flags uint64, files []int) loop.Errno {
	if flags&wire.HasTerminal != 0 {
		if p.terminal() {
			return loop.EINVAL
		}
		v.closeInput(p)
		v.endStream(&p.out)
		v.endStream(&p.err)
		p.flags |= wire.HasTerminal
		p.out.fd = own(files, 0)
		p.in.fd = p.out.fd
		files = files[1:]
		if e := v.watchOutput(&p.out, output); e != 0 {
			return e
		}
	}
	return v.attach(p, flags&^wire.HasTerminal, files)
}

// end records the end of a made process that is nobody's child.
func (v adopter) end(p *process, q *wire.Packet) loop.Errno {
	if p.state != made {
		return loop.EBUSY
	}
	if p.due.pid != 0 {
		v.answerAdopt(p, p.due, loop.ESRCH)
		p.due = adoption{}
	}
	p.flags &^= wire.Helper | wire.Made
	p.status, p.endedAt = uint32(q.A), loop.Nanotime()
	v.finish(p)
	return 0
}
