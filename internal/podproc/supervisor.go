package podproc

import (
	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
	"carob/internal/sys/spawn"
)

const (
	// chunk is how much is read at once: what a pipe holds by default.
	chunk = 64 << 10
	// idle is after how many quiet milliseconds the chunk buffer's memory goes back.
	idle = 1000
)

// Supervisor is the state of the loop.
type Supervisor struct {
	poll    loop.Poll
	listen  int
	conn    conn
	watches []watch // by descriptor
	tag     uint32  // of the youngest watch
	procs   *process
	quit    bool

	// Recycled records.
	freeProcs   *process
	freeClients *client

	buf    []byte // of chunk size; whoever reads into it is done with it before the next event
	used   bool   // buf occupies more memory than it should while idle
	spare  []byte // an empty line buffer
	events [16]loop.Event
	inbox  loop.Inbox
	table  [spawn.FirstFile + wire.MaxFiles]int
	prog   spawn.Program
	scribe scribe
}

// watch is what the loop knows of a descriptor.
type watch struct {
	role   role
	events loop.Events // 0: not in the epoll set
	tag    uint32      // tells events of this watch from those of an earlier owner of the number
	p      *process
	c      *client
}

type role uint8

const (
	unwatched role = iota
	listener
	connection
	report // of a child that has not executed yet
	exit   // pidfd of a process
	middle // pidfd of a process that has divided
	output // pipe or terminal a process writes to
	errput // its standard error
	input  // pipe a process reads from
	sink   // client that gets output
	source // client that gives input
)

// New makes a supervisor that serves the listening socket, which it takes over.
func New(listen int) (*Supervisor, loop.Errno) {
	if !loop.Listening(listen) {
		return nil, loop.ENOTSUP
	}
	poll, e := loop.NewPoll()
	if e != 0 {
		return nil, e
	}
	v := &Supervisor{poll: poll, listen: listen, buf: loop.Map(chunk), watches: make([]watch, 64)}
	loop.SmallPages(v)
	v.conn.fd = -1
	if v.buf == nil {
		return nil, loop.ENOMEM
	}
	if e := loop.Unblock(listen); e != 0 {
		return nil, e
	}
	// By edges: a connection that cannot be accepted for want of descriptors must
	// not keep the loop spinning. The next attempt brings both.
	return v, v.watch(listen, watch{role: listener, events: loop.Readable | loop.Edge})
}

// Run serves until Quit.
func (v *Supervisor) Run() {
	for !v.quit {
		timeout := -1
		if v.used {
			timeout = idle
		}
		n := v.poll.Wait(v.events[:], timeout)
		if n == 0 && v.used {
			loop.Empty(v.buf)
			loop.Empty(v.spare)
			v.used = false
		}
		for i := range v.events[:n] {
			v.handle(&v.events[i])
		}
	}
}

// handle serves one event, unless an earlier one of the same batch has ended the
// watch.
func (v *Supervisor) handle(ev *loop.Event) {
	w := v.watches[ev.Fd]
	if w.role == unwatched || w.tag != loop.Tag(ev) {
		return
	}
	events := loop.Events(ev.Events)
	switch w.role {
	case listener:
		v.accept()
	case connection:
		v.serve(events)
	case report:
		v.reports(w.p)
	case exit, middle:
		v.sweep(int(ev.Fd))
	case output:
		if w.p.terminal() && events&loop.Writable != 0 {
			v.feed(w.p)
		}
		if events&^loop.Writable != 0 {
			v.pump(&w.p.out)
		}
	case errput:
		v.pump(&w.p.err)
	case input:
		if events&loop.Failed != 0 {
			v.closeInput(w.p)
			return
		}
		v.feed(w.p)
	case sink:
		v.deliver(w.c, events)
	case source:
		v.take(w.c)
	}
}

// watch begins to watch a descriptor.
func (v *Supervisor) watch(fd int, w watch) loop.Errno {
	for fd >= len(v.watches) {
		v.watches = append(v.watches, make([]watch, len(v.watches))...)
	}
	v.tag++
	w.tag = v.tag
	events := w.events
	w.events = 0
	v.watches[fd] = w
	e := v.want(fd, events)
	if e != 0 {
		v.watches[fd] = watch{}
	}
	return e
}

// want changes what a watched descriptor is watched for. Nothing takes it out of
// the set, as hang-ups are reported otherwise.
func (v *Supervisor) want(fd int, events loop.Events) loop.Errno {
	w := &v.watches[fd]
	if w.events == events {
		return 0
	}
	var e loop.Errno
	switch {
	case events == 0:
		e = v.poll.Remove(fd)
	case w.events == 0:
		e = v.poll.Add(fd, events, w.tag)
	default:
		e = v.poll.Change(fd, events, w.tag)
	}
	if e == 0 {
		w.events = events
	}
	return e
}

// forget ends the watch of a descriptor and leaves it open.
func (v *Supervisor) forget(fd int) {
	if fd < len(v.watches) {
		_ = v.want(fd, 0) // what cannot be removed is not there
		v.watches[fd] = watch{}
	}
}

// close ends the watch of *fd and closes it, if it is open.
func (v *Supervisor) close(fd *int) {
	if *fd >= 0 {
		v.forget(*fd)
		loop.Close(*fd)
		*fd = -1
	}
}
