package podproc

import (
	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// conn is the connection to the daemon.
type conn struct {
	fd int // -1: none
	// turn counts connections; who asked on an earlier one gets no answer.
	turn uint32
	// waiting are packets that the socket did not take. While there are any, no
	// requests are read: there are at most two per process.
	waiting []wire.Packet
}

// accept takes new connections; the last one counts.
func (v *Supervisor) accept() {
	for {
		fd, e := loop.Accept(v.listen)
		if e != 0 {
			return
		}
		v.hangUp()
		v.conn.fd = fd
		v.conn.turn++
		if v.watch(fd, watch{role: connection, events: loop.Readable}) != 0 {
			v.hangUp()
		}
	}
}

func (v *Supervisor) hangUp() {
	v.close(&v.conn.fd)
	v.conn.waiting = nil
}

// serve handles one request, or sends what waits.
func (v *Supervisor) serve(events loop.Events) {
	if len(v.conn.waiting) > 0 {
		v.flush()
		return
	}
	var b [wire.Size]byte
	size, files, e := v.inbox.Receive(v.conn.fd, b[:])
	switch {
	case e == loop.EAGAIN && events&(loop.Hung|loop.Failed) == 0:
		return
	case e != 0 || size == 0:
		closeAll(files)
		v.hangUp()
		return
	}
	var p wire.Packet
	p.Decode(&b)
	e = loop.EPROTO
	if size == wire.Size {
		e = v.request(&p, files)
	}
	closeAll(files)
	if e != answered {
		v.send(&wire.Packet{Op: p.Op, Seq: p.Seq, Handle: p.Handle, Err: uint16(e)})
	}
}

// closeAll closes the files of a request that nobody has taken.
func closeAll(files []int) {
	for _, fd := range files {
		if fd >= 0 {
			loop.Close(fd)
		}
	}
}

// own takes the n-th file of a request: it will not be closed with the others.
func own(files []int, n int) int {
	fd := files[n]
	files[n] = -1
	return fd
}

// send sends a packet to the daemon, if there is one.
func (v *Supervisor) send(p *wire.Packet) {
	if v.conn.fd < 0 {
		return
	}
	if len(v.conn.waiting) == 0 && v.sendNow(p) {
		return
	}
	if v.conn.fd >= 0 {
		v.conn.waiting = append(v.conn.waiting, *p)
		_ = v.want(v.conn.fd, loop.Writable) // a change of a live entry cannot fail
	}
}

// sendNow reports whether the packet is done with.
func (v *Supervisor) sendNow(p *wire.Packet) bool {
	var b [wire.Size]byte
	p.Encode(&b)
	switch e := loop.Send(v.conn.fd, b[:]); e {
	case 0:
		return true
	case loop.EAGAIN:
		return false
	}
	v.hangUp()
	return true
}

// flush sends what waits, as far as it goes.
func (v *Supervisor) flush() {
	for i := range v.conn.waiting {
		if !v.sendNow(&v.conn.waiting[i]) {
			v.conn.waiting = v.conn.waiting[i:]
			return
		}
		if v.conn.fd < 0 {
			return
		}
	}
	v.conn.waiting = nil
	_ = v.want(v.conn.fd, loop.Readable) // see send
}
