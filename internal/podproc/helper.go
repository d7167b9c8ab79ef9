package podproc

import (
	"bytes"

	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// helped notes the end of a process's helper.
func (v *Supervisor) helped(p *process, status uint32) {
	p.pid = 0
	v.watchOrphans()
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

// watchOrphans watches the children that a helper has left and nobody knows, so that they
// are reaped as soon as they end: gVisor's gofers, for whose end `runsc delete` waits. A
// kernel without CONFIG_PROC_CHILDREN has no such list; there they are reaped with the next
// process that ends.
func (v *Supervisor) watchOrphans() {
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

func (v *Supervisor) watchOrphan(pid int) {
	for _, w := range v.slots {
		if w.role == middle && w.pid == pid {
			return
		}
	}
	fd, e := loop.Open(pid)
	if e != 0 {
		return
	}
	if v.watch(fd, watch{role: middle, events: loop.Readable | loop.Edge, pid: pid}) != 0 {
		loop.Close(fd)
	}
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
