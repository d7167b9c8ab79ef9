package podproc

import (
	"bytes"

	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// sweep reaps what has ended: the process of the pidfd that woke the loop, and
// any other child. Unknown ones are middle processes, processes that have ended before
// their middle one came to say whose they are, and the rare process whose middle one was
// killed before that.
func (v *Supervisor) sweep(fd int) {
	for pid := loop.Dead(); pid != 0; pid = loop.Dead() {
		p := v.child(pid)
		for q := v.procs; q != nil && p == nil; {
			next := q.next
			v.reports(q) // it may be the child that a middle process has just reported
			q, p = next, v.child(pid)
		}
		if p != nil {
			v.reap(p)
			continue
		}
		if status, ok, _ := loop.Reap(pid); ok && v.expecting() {
			v.strangers.add(pid, status)
		}
	}
	adopter{v}.resolveDue()
	// Only now: that it was a middle process may have been reported just before.
	if v.slots[fd].role == middle {
		v.close(&fd)
	}
}

// reap takes the exit status of a process and finishes it.
func (v *Supervisor) reap(p *process) {
	pid := p.pid
	v.reports(p)
	status, _, _ := loop.Reap(pid) // it is dead and our own
	if p.pid != pid {
		return // it was a middle process, and the report of that came only now
	}
	if p.state == starting {
		v.begin(p) // killed on its way
	}
	v.close(&p.pidfd)
	if p.state == failed {
		v.recycle(p)
		return
	}
	if p.flags&wire.Helper != 0 {
		adopter{v}.helped(p, status)
		return
	}
	p.status, p.endedAt = status, loop.Nanotime()
	v.finish(p)
}

// strangers are the latest children that ended without anybody knowing whose they were,
// oldest first. A pid is not used again as soon as that.
type strangers struct {
	list [16]struct {
		pid    int
		status uint32
	}
}

func (s *strangers) add(pid int, status uint32) {
	copy(s.list[:], s.list[1:])
	last := &s.list[len(s.list)-1]
	last.pid, last.status = pid, status
}

func (s *strangers) take(pid int) (status uint32, ok bool) {
	for i := range s.list {
		if at := &s.list[i]; at.pid == pid {
			at.pid = 0
			return at.status, true
		}
	}
	return 0, false
}

// finish brings out what the process has left in its pipes and records its end.
func (v *Supervisor) finish(p *process) {
	v.drain(&p.out)
	v.drain(&p.err)
	v.scribe.lastWords(p)
	v.close(&p.log.fd)
	p.state = ended
	p.flags |= wire.Ended
	if now := kills(p.oom); now > p.killsBefore {
		p.flags |= wire.OOMKilled
		p.kills = now - p.killsBefore
	}
	v.close(&p.oom)
	v.closeInput(p)
	v.conn.send(&wire.Packet{
		Op: wire.Exit, Handle: p.handle,
		A: uint64(p.status), B: p.flags, C: p.kills, D: uint64(p.endedAt),
	})
}

// kills returns the number of OOM kills a cgroup's file tells of: the line
// "oom_kill N" of memory.events (v2) or memory.oom_control (v1, Linux 4.13). It is
// 0 when the file does not tell, or has gone with its cgroup.
func kills(fd int) uint64 {
	var b [512]byte
	if fd < 0 {
		return 0
	}
	n, _ := loop.ReadAt(fd, b[:], 0)
	return parseKills(b[:n])
}

func parseKills(text []byte) (n uint64) {
	const key = "oom_kill "
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		if len(line) <= len(key) || string(line[:len(key)]) != key {
			continue
		}
		for _, c := range line[len(key):] {
			if c < '0' || c > '9' || n > 1<<59 {
				return 0
			}
			n = 10*n + uint64(c-'0')
		}
		return n
	}
	return 0
}
