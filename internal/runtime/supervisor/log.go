package supervisor

import (
	"context"
	"os"
	"sync"

	"carob/internal/fault"
	"carob/internal/logfile"
	"carob/internal/podproc/wire"
	"carob/internal/sys/fd"
)

// rotation keeps a process's log within its bounds. The supervisor writes and says when a
// file is full; what it may not do itself, to name files and to open them, is done here.
type rotation struct {
	log logfile.Log

	mu   sync.Mutex // held while the files are renamed, so that nobody removes them meanwhile
	over bool
}

// end ends the rotation of a log that may be removed from now on.
func (r *rotation) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// openLog opens a log to be gone on with, nil for none; room is how much of it may be
// written until it is full, 0 being no bound.
func openLog(l logfile.Log) (f *os.File, room uint64, err error) {
	if l.Path == "" {
		return nil, 0, nil
	}
	f, err = os.OpenFile(l.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|fd.NoFollow, 0o640)
	if err != nil {
		return nil, 0, fault.Wrap(fault.Invalid, "log", err)
	}
	if l.Size == 0 {
		return f, 0, nil
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, 0, fault.Wrap(fault.Internal, "log", err)
	}
	return f, uint64(max(l.Size-info.Size(), 1)), nil
}

// rotate begins another file if a process's log is full, or if an earlier daemon did not
// live to give the supervisor the one that it had begun.
func rotate(n *Pool, s *Sandbox, p *process) {
	if p.log.Path == "" || p.log.Size == 0 {
		return
	}
	n.readers.Go(func() {
		err := s.rotate(context.Background(), p)
		if err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Unavailable) { // it has ended, or the daemon does
			n.log.Warn("log is not rotated", "pod", s.podID, "container", p.id, "cause", err)
		}
	})
}

// rotateAll sees to what no daemon has heard of.
func rotateAll(n *Pool, s *Sandbox, all []Known) {
	for _, k := range all {
		if p, ok := s.find(k.ID); ok && k.Exit == nil {
			rotate(n, s, p)
		}
	}
}

func (s *Sandbox) rotate(ctx context.Context, p *process) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil
	}
	next, err := p.log.Rotate()
	if err != nil || !next {
		return err
	}
	return s.reopen(ctx, p.id, p.log)
}

// ReopenLog hands the supervisor the file that is at the log's path now.
func (n *Pool) ReopenLog(ctx context.Context, podID, processID, path string) error {
	sb, err := n.sandboxes.find(podID)
	if err != nil {
		return err
	}
	return sb.reopen(ctx, processID, logfile.Log{Path: path})
}

func (s *Sandbox) reopen(ctx context.Context, processID string, l logfile.Log) error {
	f, room, err := openLog(l)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.conn.do(ctx, "log", wire.Packet{Op: wire.Reopen, Handle: handle(processID), A: room}, f)
}
