package podproc

import (
	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// conn is the connection to the daemon.
type conn struct {
	*watches
	listen int // the socket it comes from
	fd     int // -1: none
	// turn counts connections; who asked on an earlier one gets no answer.
	turn uint32
	// settled says that the supervisor goes on without a connection, orphaned that it should
	// have ended with one.
	settled, orphaned bool
	// waiting are packets that the socket did not take. While there are any, no
	// requests are read: there are at most two per process.
	waiting []wire.Packet
}

// accept takes new connections; the last one counts.
func (c *conn) accept() {
	for {
		fd, e := loop.Accept(c.listen)
		if e != 0 {
			return
		}
		c.drop()
		c.fd = fd
		c.turn++
		if c.watch(fd, watch{role: connection, events: loop.Readable}) != 0 {
			c.hangUp()
		}
	}
}

// hangUp ends the connection.
func (c *conn) hangUp() {
	c.orphaned = c.orphaned || !c.settled
	c.drop()
}

func (c *conn) drop() {
	c.close(&c.fd)
	c.waiting = nil
}

// send sends a packet to the daemon, if there is one.
func (c *conn) send(p *wire.Packet) {
	if c.fd < 0 {
		return
	}
	if len(c.waiting) == 0 && c.sendNow(p) {
		return
	}
	if c.fd >= 0 {
		c.waiting = append(c.waiting, *p)
		_ = c.want(c.fd, loop.Writable) // a change of a live entry cannot fail
	}
}

// began answers a process's Spawn, if whoever asked is still there.
func (c *conn) began(p *process) {
	if p.turn == c.turn {
		c.send(&wire.Packet{Op: wire.Spawn, Seq: p.seq, Handle: p.handle, A: uint64(p.pid)})
	}
}

// logged tells the daemon of a log that has taken its room.
func (c *conn) logged(p *process) {
	if p.log.full() {
		c.send(&wire.Packet{Op: wire.Full, Handle: p.handle})
	}
}

// sendNow reports whether the packet is done with.
func (c *conn) sendNow(p *wire.Packet) bool {
	var b [wire.Size]byte
	p.Encode(&b)
	switch e := loop.Send(c.fd, b[:]); e {
	case 0:
		return true
	case loop.EAGAIN:
		return false
	}
	c.hangUp()
	return true
}

// flush sends what waits, as far as it goes.
func (c *conn) flush() {
	for i := range c.waiting {
		if !c.sendNow(&c.waiting[i]) {
			c.waiting = c.waiting[i:]
			return
		}
		if c.fd < 0 {
			return
		}
	}
	c.waiting = nil
	_ = c.want(c.fd, loop.Readable) // see send
}

// serve handles one request, or sends what waits.
func (v *Supervisor) serve(events loop.Events) {
	if len(v.conn.waiting) > 0 {
		v.conn.flush()
		return
	}
	var b [wire.Size]byte
	size, files, e := v.inbox.Receive(v.conn.fd, b[:])
	switch {
	case e == loop.EAGAIN && events&(loop.Hung|loop.Failed) == 0:
		return
	case e != 0 || size == 0:
		closeAll(files)
		v.conn.hangUp()
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
		v.conn.send(&wire.Packet{Op: p.Op, Seq: p.Seq, Handle: p.Handle, Err: uint16(e)})
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
