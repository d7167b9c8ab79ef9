package podproc

import (
	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// helped notes the end of a process's helper.
func (v *Supervisor) helped(p *process, status uint32) {
	p.pid = 0
	if status == 0 {
		p.state = made
		p.flags = p.flags&^wire.Starting | wire.Made
		v.answer(p)
		return
	}
	if p.turn != v.conn.turn || v.conn.fd < 0 { // for the next daemon to find
		p.flags &^= wire.Starting | wire.Helper
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

// adopt makes a child the process that a helper has made.
func (v *Supervisor) adopt(p *process, q *wire.Packet, files []int) loop.Errno {
	const known = wire.HasTerminal | wire.HasStdin | wire.HasStdout | wire.HasStderr
	if p.state != made {
		return loop.EBUSY
	}
	if q.A&^known != 0 || len(files) != wire.Files(q.A) {
		return loop.EINVAL
	}
	pid := int(q.B)
	if pid == 0 { // nobody's child: its streams are all there is to adopt
		return v.adoptStreams(p, q.A, files)
	}
	status, gone := uint32(0), false
	if v.child(pid) != nil || !loop.Mine(pid) {
		if status, gone = v.strangers.take(pid); !gone {
			return loop.ECHILD
		}
	}
	if e := v.adoptStreams(p, q.A, files); e != 0 {
		return e
	}
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
	v.conn.send(&wire.Packet{Op: wire.Adopt, Seq: q.Seq, Handle: p.handle, A: uint64(pid)})
	if gone {
		p.status, p.endedAt = status, loop.Nanotime()
		v.finish(p)
	}
	return answered
}

// adoptStreams gives the process its terminal, in place of the pipes that its helper
// had, and clients.
func (v *Supervisor) adoptStreams(p *process, flags uint64, files []int) loop.Errno {
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
func (v *Supervisor) end(p *process, q *wire.Packet) loop.Errno {
	if p.state != made {
		return loop.EBUSY
	}
	p.flags &^= wire.Helper | wire.Made
	p.status, p.endedAt = uint32(q.A), loop.Nanotime()
	v.finish(p)
	return 0
}
