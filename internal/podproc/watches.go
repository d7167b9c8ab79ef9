package podproc

import "carob/internal/sys/loop"

// watches is what the loop waits for.
type watches struct {
	poll  loop.Poll
	slots []watch // by descriptor
	tag   uint32  // of the youngest
}

// watch is what the loop knows of a descriptor.
type watch struct {
	role   role
	events loop.Events // 0: not in the epoll set
	tag    uint32      // tells events of this watch from those of an earlier owner of the number
	p      *process
	c      *client
	pid    int // of a middle process that is nobody's
}

type role uint8

const (
	unwatched role = iota
	listener
	connection
	report // of a child that has not executed yet
	exit   // pidfd of a process
	middle // pidfd of a process that has divided, or that a helper has left
	output // pipe or terminal a process writes to
	errput // its standard error
	input  // pipe a process reads from
	sink   // client that gets output
	source // client that gives input
)

// watch begins to watch a descriptor.
func (w *watches) watch(fd int, n watch) loop.Errno {
	for fd >= len(w.slots) {
		w.slots = append(w.slots, make([]watch, len(w.slots))...)
	}
	w.tag++
	n.tag = w.tag
	events := n.events
	n.events = 0
	w.slots[fd] = n
	e := w.want(fd, events)
	if e != 0 {
		w.slots[fd] = watch{}
	}
	return e
}

// watchExit is by edges: while a debugger holds on to a dead process, its pidfd is
// readable and it cannot be reaped.
func (w *watches) watchExit(p *process) loop.Errno {
	return w.watch(p.pidfd, watch{role: exit, events: loop.Readable | loop.Edge, p: p})
}

// letGo leaves the pidfd of a middle process to its end.
func (w *watches) letGo(p *process) {
	if p.pidfd >= 0 {
		w.slots[p.pidfd].role, w.slots[p.pidfd].p = middle, nil
	}
}

// watchOutput watches what a process writes.
func (w *watches) watchOutput(s *stream, r role) loop.Errno {
	if e := loop.Unblock(s.fd); e != 0 {
		return e
	}
	return w.watch(s.fd, watch{role: r, events: loop.Readable, p: s.p})
}

// want changes what a watched descriptor is watched for. Nothing takes it out of
// the set, as hang-ups are reported otherwise.
func (w *watches) want(fd int, events loop.Events) loop.Errno {
	at := &w.slots[fd]
	if at.events == events {
		return 0
	}
	var e loop.Errno
	switch {
	case events == 0:
		e = w.poll.Remove(fd)
	case at.events == 0:
		e = w.poll.Add(fd, events, at.tag)
	default:
		e = w.poll.Change(fd, events, at.tag)
	}
	if e == 0 {
		at.events = events
	}
	return e
}

// forget ends the watch of a descriptor and leaves it open.
func (w *watches) forget(fd int) {
	if fd < len(w.slots) {
		_ = w.want(fd, 0) // what cannot be removed is not there
		w.slots[fd] = watch{}
	}
}

// close ends the watch of *fd and closes it, if it is open.
func (w *watches) close(fd *int) {
	if *fd >= 0 {
		w.forget(*fd)
		loop.Close(*fd)
		*fd = -1
	}
}
