package podproc

import (
	"carob/internal/sys/loop"
	"carob/internal/sys/spawn"
)

// idle is after how many quiet milliseconds buffers' memory goes back.
const idle = 1000

// Supervisor is the state of the loop.
type Supervisor struct {
	plumbing
	conn   conn
	quit   bool
	events [16]loop.Event
	inbox  loop.Inbox
	table  fileTable
	prog   spawn.Program
	nest   spawn.Nest
}

// New makes a supervisor that serves the listening socket, which it takes over.
func New(listen int) (*Supervisor, loop.Errno) {
	if !loop.Listening(listen) {
		return nil, loop.ENOTSUP
	}
	poll, e := loop.NewPoll()
	if e != 0 {
		return nil, e
	}
	v := &Supervisor{}
	loop.SmallPages(v)
	v.poll, v.slots, v.buf.mem, v.clients.w = poll, make([]watch, 64), loop.Map(chunk), &v.watches
	if v.nest, e = spawn.NewNest(0); e != 0 { // from here on: what is mapped above is not the children's
		return nil, e
	}
	v.conn = conn{watches: &v.watches, listen: listen, fd: -1}
	if v.buf.mem == nil {
		return nil, loop.ENOMEM
	}
	if e := loop.Unblock(listen); e != 0 {
		return nil, e
	}
	// By edges: a connection that cannot be accepted for want of descriptors must
	// not keep the loop spinning. The next attempt brings both.
	return v, v.watch(listen, watch{role: listener, events: loop.Readable | loop.Edge})
}

// Run serves until Quit, or until the end of the connection that it should end with.
func (v *Supervisor) Run() {
	for !v.quit && !v.conn.orphaned {
		timeout := -1
		if v.buf.used || v.scribe.used {
			timeout = idle
		}
		n := v.poll.Wait(v.events[:], timeout)
		if n == 0 {
			v.buf.rest()
			v.scribe.rest()
		}
		for i := range v.events[:n] {
			v.handle(&v.events[i])
		}
	}
}

// handle serves one event, unless an earlier one of the same batch has ended the
// watch.
func (v *Supervisor) handle(ev *loop.Event) {
	w := v.slots[ev.Fd]
	if w.role == unwatched || w.tag != loop.Tag(ev) {
		return
	}
	events := loop.Events(ev.Events)
	switch w.role {
	case listener:
		v.conn.accept()
	case connection:
		v.serve(events)
	case report:
		v.reports(w.p)
	case exit, middle:
		v.sweep(int(ev.Fd))
	case output:
		v.outputReady(w.p, events)
		v.conn.logged(w.p)
	case errput:
		v.pump(&w.p.err)
		v.conn.logged(w.p)
	case input:
		v.inputReady(w.p, events)
	case sink:
		v.deliver(w.c, events)
	case source:
		v.take(w.c)
	}
}
