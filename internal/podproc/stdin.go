package podproc

import (
	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// stdin is where a process reads from: a pipe or its terminal.
type stdin struct {
	fd      int // -1: none, or closed; with a terminal the stream's
	sources *client
}

// inputChunk is how much is taken from a client at once.
const inputChunk = 16 << 10

// waits reports whether some client has input that is to be written when there is
// room.
func (in *stdin) waits() bool {
	for c := in.sources; c != nil; c = c.next {
		if c.plain || c.held != nil {
			return true
		}
	}
	return false
}

// addSource adds a client's input.
func (v *plumbing) addSource(p *process, fd int) {
	c := v.newClient(p, fd)
	c.next, p.in.sources = p.in.sources, c
	switch e := v.watch(fd, watch{role: source, events: loop.Readable, p: p, c: c}); {
	case e == loop.EPERM:
		c.plain = true
		v.armInput(p)
	case e != 0:
		v.dropSource(c)
	}
}

// dropSource closes a client's input.
func (v *plumbing) dropSource(c *client) {
	for at := &c.p.in.sources; *at != nil; at = &(*at).next {
		if *at == c {
			*at = c.next
			break
		}
	}
	loop.Unmap(c.held)
	c.held = nil
	v.recycleClient(c)
}

// closeInput ends a process's standard input, and with it all clients' inputs. A
// terminal stays open.
func (v *plumbing) closeInput(p *process) {
	for p.in.sources != nil {
		v.dropSource(p.in.sources)
	}
	if p.terminal() {
		p.in.fd = -1
		return
	}
	v.close(&p.in.fd)
}

// armInput watches standard input for room if that is waited for.
func (v *plumbing) armInput(p *process) {
	switch {
	case p.in.fd < 0:
	case p.terminal():
		v.arm(&p.out)
	case p.in.waits():
		_ = v.want(p.in.fd, loop.Writable) // see arm
	default:
		_ = v.want(p.in.fd, loop.Failed) // see arm
	}
}

// take reads from a client once and passes it on; what does not fit waits with
// its client.
func (v *plumbing) take(c *client) {
	if c.held != nil {
		return
	}
	p := c.p
	data, e := v.buf.read(c.fd, inputChunk)
	switch {
	case e == loop.EAGAIN:
		return
	case e != 0 || len(data) == 0:
		v.dropSource(c)
		if !p.terminal() && (p.flags&wire.StdinOnce != 0 || p.flags&wire.OpenStdin == 0) {
			v.closeInput(p)
			return
		}
		v.armInput(p)
		return
	}
	n, e := loop.Write(p.in.fd, data)
	switch {
	case e != 0 && e != loop.EAGAIN:
		v.refused(p)
	case n < len(data):
		v.keep(c, data[n:])
	}
}

// keep holds input until there is room for it.
func (v *plumbing) keep(c *client, data []byte) {
	c.off, c.held = 0, loop.Map(len(data))
	if c.held == nil { // no memory: better an end than a gap
		v.closeInput(c.p)
		return
	}
	copy(c.held, data)
	if !c.plain {
		_ = v.want(c.fd, 0) // see arm
	}
	v.armInput(c.p)
}

// refused is for input that cannot be written: the readers of a pipe are gone for
// good; those of a terminal may come back, and what was typed meanwhile is lost.
func (v *plumbing) refused(p *process) {
	if !p.terminal() {
		v.closeInput(p)
		return
	}
	for c := p.in.sources; c != nil; c = c.next {
		v.unhold(c)
	}
	v.armInput(p)
}

// inputReady serves a pipe that has room, or whose last reader has gone.
func (v *plumbing) inputReady(p *process, events loop.Events) {
	if events&loop.Failed != 0 {
		v.closeInput(p)
		return
	}
	v.feed(p)
}

// feed writes what clients have waiting, now that there is room.
func (v *plumbing) feed(p *process) {
	var plain *client
	for c := p.in.sources; c != nil; c = c.next {
		if c.held == nil {
			if c.plain {
				plain = c
			}
			continue
		}
		n, e := loop.Write(p.in.fd, c.held[c.off:])
		c.off += n
		switch {
		case e != 0 && e != loop.EAGAIN:
			v.refused(p)
			return
		case c.off < len(c.held):
			return
		}
		v.unhold(c)
	}
	if plain != nil {
		v.take(plain) // which decides what is waited for next
		return
	}
	v.armInput(p)
}
