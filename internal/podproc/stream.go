package podproc

import "carob/internal/sys/loop"

// stream is what a process writes: standard output, standard error or both in a
// terminal.
type stream struct {
	p    *process
	fd   int // -1: ended
	name string
	// hung: all of the terminal's other side is closed for now. Anyone in the
	// container may open it again.
	hung bool
	// part is the beginning of a line, for the log.
	part []byte
	// held is what at least one client has not taken yet; nothing is read meanwhile.
	held  []byte
	sinks *client
}

// client is one of a client's descriptors: a sink for a stream or a source for
// standard input.
type client struct {
	next *client
	p    *process
	s    *stream // of a sink
	fd   int
	// off is how much of held has gone: of the stream's for a sink, of its own for a
	// source.
	off  int
	held []byte
	// plain: cannot be waited for, as a regular file; it is always ready.
	plain bool
}

// clients makes clients and takes them back.
type clients struct {
	w    *watches
	free *client // records for the next ones
}

func (f *clients) newClient(p *process, fd int) *client {
	c := f.free
	if c != nil {
		f.free = c.next
	} else {
		c = new(client)
	}
	*c = client{p: p, fd: fd}
	return c
}

// recycleClient closes a client's descriptor and takes back its record.
func (f *clients) recycleClient(c *client) {
	f.w.close(&c.fd)
	c.next, f.free = f.free, c
}

// unhold lets a client go on giving.
func (f *clients) unhold(c *client) {
	if c.held == nil {
		return
	}
	loop.Unmap(c.held)
	c.held = nil
	if !c.plain {
		_ = f.w.want(c.fd, loop.Readable) // see arm
	}
}

// plumbing is what lies between processes and clients: streams and standard inputs
// move bytes through it, from whoever has some to whoever has room.
type plumbing struct {
	watches
	family
	clients
	scribe scribe
	buf    buffer // whoever reads into it is done with it before the next event
}

// buffer is where descriptors are read into.
type buffer struct {
	mem  []byte // of chunk size
	used bool   // it occupies more memory than it should while nothing happens
}

// chunk is how much is read at once: what a pipe holds by default.
const chunk = 64 << 10

// read reads at most that much, once. What it returns is good until the next read.
func (b *buffer) read(fd, most int) ([]byte, loop.Errno) {
	n, e := loop.Read(fd, b.mem[:most])
	b.used = b.used || n > 4096
	return b.mem[:n], e
}

// file reads the beginning of a file of the kernel's.
func (b *buffer) file(path string) ([]byte, loop.Errno) {
	fd, e := loop.OpenFile(path)
	if e != 0 {
		return nil, e
	}
	defer loop.Close(fd)
	return b.read(fd, chunk)
}

// rest gives the memory back.
func (b *buffer) rest() {
	if b.used {
		loop.Empty(b.mem)
		b.used = false
	}
}

// addSink adds a client that gets all that is read from now on. It is closed at
// once when nothing will be.
func (v *plumbing) addSink(s *stream, fd int) {
	c := v.newClient(s.p, fd)
	c.s, c.off = s, len(s.held)
	c.next, s.sinks = s.sinks, c
	// Even with nothing to write, to notice that the reader is gone.
	switch e := v.watch(fd, watch{role: sink, events: loop.Failed, p: s.p, c: c}); {
	case e == loop.EPERM:
		c.plain = true
	case e != 0:
		v.dropSink(c)
		return
	}
	if s.fd < 0 {
		v.dropSink(c)
	}
}

// dropSink closes a client of a stream, and goes on without it.
func (v *plumbing) dropSink(c *client) {
	for at := &c.s.sinks; *at != nil; at = &(*at).next {
		if *at == c {
			*at = c.next
			break
		}
	}
	s := c.s
	v.recycleClient(c)
	v.settle(s)
}

// settle is called when a client has taken all, or a client or the stream is
// gone. At the end of a stream each client is closed that has taken all; when all
// have, held bytes are given back and the stream is read again.
func (v *plumbing) settle(s *stream) {
	behind := false
	for at := &s.sinks; *at != nil; {
		c := *at
		switch {
		case c.off < len(s.held):
			behind = true
		case s.fd < 0:
			*at = c.next
			v.recycleClient(c)
			continue
		}
		at = &c.next
	}
	if behind {
		return
	}
	if s.held != nil {
		loop.Unmap(s.held)
		s.held = nil
		for c := s.sinks; c != nil; c = c.next {
			c.off = 0
		}
	}
	if s.fd >= 0 {
		v.arm(s)
		return
	}
	v.recycle(s.p)
}

// arm watches a stream for what it is to be watched for now.
func (v *plumbing) arm(s *stream) {
	var events loop.Events
	if s.held == nil {
		events = loop.Readable
		if s.hung {
			events |= loop.Edge
		}
	}
	if s.p.terminal() && s.p.in.waits() {
		events |= loop.Writable
	}
	_ = v.want(s.fd, events) // memory for epoll is had from the first time on
}

// outputReady serves an output, which may be a terminal and take input as well.
func (v *plumbing) outputReady(p *process, events loop.Events) {
	if p.terminal() && events&loop.Writable != 0 {
		v.feed(p)
	}
	if events&^loop.Writable != 0 {
		v.pump(&p.out)
	}
}

// pump reads a stream once and passes on what there is.
func (v *plumbing) pump(s *stream) {
	if s.held != nil {
		return
	}
	data, e := v.buf.read(s.fd, chunk)
	switch {
	case e == loop.EAGAIN:
	case len(data) > 0:
		s.hung = false
		v.scribe.record(s, data)
		v.offer(s, data)
		v.arm(s)
	case e == loop.EIO && s.p.terminal():
		s.hung = true
		v.arm(s)
	default:
		v.endStream(s)
	}
}

// offer writes data to all clients of a stream and holds it for those that do not
// take it whole.
func (v *plumbing) offer(s *stream, data []byte) {
	short := false
	for c := s.sinks; c != nil; {
		next := c.next
		n, e := loop.Write(c.fd, data)
		c.off = n
		switch {
		case e != 0 && e != loop.EAGAIN, c.plain && n < len(data): // gone, or a full disk
			v.dropSink(c)
		case n < len(data):
			short = true
		}
		c = next
	}
	if short {
		v.hold(s, data)
		return
	}
	for c := s.sinks; c != nil; c = c.next {
		c.off = 0
	}
}

// hold keeps data for the clients of a stream, behind what is kept already.
func (v *plumbing) hold(s *stream, data []byte) {
	old := s.held
	s.held = loop.Map(len(old) + len(data))
	if s.held == nil { // no memory: the slow ones cannot be served
		s.held = old
		for c := s.sinks; c != nil; {
			next := c.next
			if c.off < len(old)+len(data) {
				v.dropSink(c)
			}
			c = next
		}
		return
	}
	copy(s.held[copy(s.held, old):], data)
	loop.Unmap(old)
	for c := s.sinks; c != nil; c = c.next {
		if c.off < len(s.held) && !c.plain {
			_ = v.want(c.fd, loop.Writable) // see arm
		}
	}
}

// deliver writes held bytes to a client that is ready for them or gone.
func (v *plumbing) deliver(c *client, events loop.Events) {
	s := c.s
	if c.off == len(s.held) {
		if events&(loop.Failed|loop.Hung) != 0 {
			v.dropSink(c)
		}
		return
	}
	n, e := loop.Write(c.fd, s.held[c.off:])
	c.off += n
	switch {
	case e != 0 && e != loop.EAGAIN:
		v.dropSink(c)
	case c.off == len(s.held):
		_ = v.want(c.fd, loop.Failed) // see arm
		v.settle(s)
	}
}

// drain reads what is in a stream at its process's end, and ends it. Others who
// hold it may go on writing for ever: that is not waited for.
func (v *plumbing) drain(s *stream) {
	if s.fd < 0 {
		return
	}
	// A terminal does not tell how much it will give, and gives 4 KiB at a time.
	left := 4 * chunk
	if !s.p.terminal() {
		left = loop.Waiting(s.fd)
	}
	for left > 0 {
		data, e := v.buf.read(s.fd, chunk)
		if e != 0 || len(data) == 0 {
			break
		}
		left -= len(data)
		v.scribe.record(s, data)
		if s.held != nil {
			v.hold(s, data)
		} else {
			v.offer(s, data)
		}
	}
	v.endStream(s)
}

// endStream closes a stream; its clients are closed when they have taken all.
func (v *plumbing) endStream(s *stream) {
	if s.fd < 0 {
		return
	}
	if s.p.in.fd == s.fd { // a terminal
		s.p.in.fd = -1
		v.closeInput(s.p)
	}
	v.close(&s.fd)
	v.scribe.recordRest(s)
	s.leaveBehind()
	v.settle(s)
}

// leaveBehind lets the clients' pipes have what they are still to read: this process may be
// asked to end before they do. It is at most what a stream held; what a pipe may not grow
// to take, and what is no pipe, waits here.
func (s *stream) leaveBehind() {
	for c := s.sinks; c != nil; c = c.next {
		left := len(s.held) - c.off
		if left > 0 && !c.plain && loop.Widen(c.fd, left) == 0 {
			n, _ := loop.Write(c.fd, s.held[c.off:]) // that it has hung up is found later
			c.off += n
		}
	}
}
