package stream

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"carob/internal/pod"
)

// drainTime is how long a client may take to accept what was written before the end.
const drainTime = 10 * time.Second

// ends are a client's streams; nil ones it did not ask for.
type ends struct {
	in       io.Reader
	out, err io.WriteCloser
}

// pipes lie between a client's streams, which are no descriptors, and the supervisor,
// which takes nothing else.
type pipes struct {
	client ends
	// remote are the supervisor's ends; local are ours.
	remote, local pod.Streams
	// outputs counts the outputs that have not ended.
	outputs int
	ended   chan error
}

func connect(c ends) (*pipes, error) {
	p := &pipes{client: c, ended: make(chan error, 2)}
	var errs [3]error
	if c.in != nil {
		p.remote.Stdin, p.local.Stdin, errs[0] = os.Pipe()
	}
	if c.out != nil {
		p.local.Stdout, p.remote.Stdout, errs[1] = os.Pipe()
	}
	if c.err != nil {
		p.local.Stderr, p.remote.Stderr, errs[2] = os.Pipe()
	}
	if err := errors.Join(errs[:]...); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// pump begins to copy. The supervisor has its ends by now: ours are closed, so that
// what we read has an end.
func (p *pipes) pump() {
	closeAll(p.remote)
	if p.client.in != nil {
		in := p.local.Stdin
		go func() {
			_, _ = io.Copy(in, p.client.in) // ends with the client or with the process
			_ = in.Close()
		}()
	}
	for from, to := range map[*os.File]io.Writer{p.local.Stdout: p.client.out, p.local.Stderr: p.client.err} {
		if from == nil {
			continue
		}
		p.outputs++
		go func() {
			_, err := io.Copy(to, from)
			p.ended <- err
		}()
	}
}

// wait waits until every output has ended, or one of them cannot be passed on: the
// client has gone.
func (p *pipes) wait(ctx context.Context) error {
	for ; p.outputs > 0; p.outputs-- {
		select {
		case err := <-p.ended:
			if err != nil {
				p.outputs--
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// drain is wait, but not for a client that does not read.
func (p *pipes) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	_ = p.wait(ctx) // what is lost then nobody was there to take
}

func (p *pipes) close() {
	closeAll(p.remote) // a second time after pump, which is no harm
	closeAll(p.local)
}

func closeAll(s pod.Streams) {
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		if f != nil {
			_ = f.Close()
		}
	}
}
