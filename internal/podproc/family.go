package podproc

import "carob/internal/podproc/wire"

// family is the processes there are, the youngest first.
type family struct {
	procs     *process
	free      *process // records for the next ones
	strangers strangers
}

// find returns the process with this handle, nil if there is none.
func (f *family) find(handle uint64) *process {
	for p := f.procs; p != nil && handle != 0; p = p.next {
		if p.handle == handle {
			return p
		}
	}
	return nil
}

func (f *family) count() (n uint64) {
	for p := f.procs; p != nil; p = p.next {
		if p.handle != 0 {
			n++
		}
	}
	return n
}

// expecting reports whether a child may have ended that has not been reported yet, or
// that a helper has made and nobody has named.
func (f *family) expecting() bool {
	for p := f.procs; p != nil; p = p.next {
		if p.state == starting || p.flags&wire.Helper != 0 && p.state < failed {
			return true
		}
	}
	return false
}

// newProcess returns a record, which is among the processes from now on.
func (f *family) newProcess(handle, flags uint64) *process {
	p := f.free
	if p != nil {
		f.free = p.next
	} else {
		p = new(process)
	}
	*p = process{next: f.procs, handle: handle, flags: flags, pidfd: -1, report: -1, oom: -1}
	p.out = stream{p: p, fd: -1, name: "stdout"}
	p.err = stream{p: p, fd: -1, name: "stderr"}
	p.in.fd = -1
	p.log.use(-1, 0)
	f.procs = p
	return p
}

// recycle takes back a record that nobody needs: no daemon, child or client.
func (f *family) recycle(p *process) {
	if p.handle != 0 || p.pidfd >= 0 || p.out.sinks != nil || p.err.sinks != nil {
		return
	}
	for at := &f.procs; *at != nil; at = &(*at).next {
		if *at == p {
			*at = p.next
			p.next, f.free = f.free, p
			return
		}
	}
}

// child returns the process whose child this is, nil if there is none.
func (f *family) child(pid int) *process {
	for p := f.procs; p != nil; p = p.next {
		if p.pid == pid && p.pidfd >= 0 {
			return p
		}
	}
	return nil
}
