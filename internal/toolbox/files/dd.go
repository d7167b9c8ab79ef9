package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"carob/internal/toolbox/tool"
)

// maxBlock is the largest block: dd holds one in memory.
const maxBlock = 1 << 30

// ddPlan is what dd's KEY=VALUE operands mean; count -1 is to the end.
type ddPlan struct {
	in, out, status       string
	bs, skip, seek, count int64
	noTruncate, sync      bool
}

func parseDD(args []string) (ddPlan, error) {
	p := ddPlan{bs: 512, count: -1}
	numbers := map[string]*int64{"bs": &p.bs, "ibs": &p.bs, "obs": &p.bs, "skip": &p.skip, "seek": &p.seek, "count": &p.count}
	words := map[string]*string{"if": &p.in, "of": &p.out, "status": &p.status}
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		var err error
		switch {
		case ok && numbers[k] != nil:
			*numbers[k], err = tool.ParseSize(v)
		case ok && words[k] != nil:
			*words[k] = v
		case ok && k == "conv":
			err = p.convert(v)
		default:
			err = tool.Misused("unrecognized operand '%s'", a)
		}
		if err != nil {
			return p, err
		}
	}
	return p, p.check()
}

func (p *ddPlan) check() error {
	switch {
	case p.bs == 0 || p.bs > maxBlock:
		return tool.Invalid("invalid block size: from 1 to %d bytes", maxBlock)
	case p.skip > 1<<62/p.bs || p.seek > 1<<62/p.bs:
		return tool.Invalid("offset too large")
	}
	return nil
}

func (p *ddPlan) convert(list string) error {
	for word := range strings.SplitSeq(list, ",") {
		switch word {
		case "notrunc":
			p.noTruncate = true
		case "fsync", "fdatasync":
			p.sync = true
		default:
			return tool.Invalid("invalid conversion: '%s'", word)
		}
	}
	return nil
}

func dd(c *tool.Call) (int, error) {
	p, err := parseDD(c.Args)
	if err != nil {
		return 0, err
	}
	if !slices.Contains([]string{"", "none", "noxfer", "progress"}, p.status) {
		return 0, tool.Invalid("invalid status level: '%s'", p.status)
	}
	in, out := c.In, os.Stdout
	if p.in != "" {
		if in, err = os.Open(p.in); err != nil {
			return 0, tool.Cannot("failed to open", p.in, err)
		}
		defer in.Close()
	}
	if p.out != "" {
		if out, err = p.create(); err != nil {
			return 0, tool.Cannot("failed to open", p.out, err)
		}
		defer out.Close()
	}
	if err := p.position(in, out); err != nil {
		return 0, err
	}
	begun := time.Now()
	n, err := p.copy(out, in)
	if err == nil && p.sync {
		err = out.Sync()
	}
	if p.status != "none" {
		n.print(c.Err, time.Since(begun))
	}
	return 0, err
}

// create opens the output; what is behind the place where writing begins goes.
func (p ddPlan) create() (*os.File, error) {
	out, err := os.OpenFile(p.out, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil || p.noTruncate {
		return out, err
	}
	if fi, err := out.Stat(); err == nil && fi.Mode().IsRegular() {
		return out, out.Truncate(p.seek * p.bs)
	}
	return out, nil
}

// position goes to where reading and writing begin; a pipe is read to there.
func (p ddPlan) position(in, out *os.File) error {
	if p.skip > 0 {
		if _, err := in.Seek(p.skip*p.bs, io.SeekCurrent); err != nil {
			if _, err := io.CopyN(io.Discard, in, p.skip*p.bs); notEOF(err) != nil {
				return err
			}
		}
	}
	if p.seek > 0 {
		if _, err := out.Seek(p.seek*p.bs, io.SeekStart); err != nil {
			return fmt.Errorf("cannot seek: %s", tool.Why(err))
		}
	}
	return nil
}

// transfer counts whole and partial blocks, as dd reports them.
type transfer struct{ wholeIn, partIn, wholeOut, partOut, bytes int64 }

// copy takes what one read(2) gives as a block, as dd does.
func (p ddPlan) copy(out io.Writer, in io.Reader) (n transfer, err error) {
	block := make([]byte, p.bs)
	for p.count < 0 || n.wholeIn+n.partIn < p.count {
		k, err := in.Read(block)
		if k > 0 {
			add(&n.wholeIn, &n.partIn, int64(k) == p.bs)
			w, err := out.Write(block[:k])
			n.bytes += int64(w)
			if err != nil {
				return n, fmt.Errorf("error writing '%s': %s", orDefault(p.out, "standard output"), tool.Why(err))
			}
			add(&n.wholeOut, &n.partOut, int64(k) == p.bs)
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("error reading '%s': %s", orDefault(p.in, "standard input"), tool.Why(err))
		}
	}
	return n, nil
}

func add(whole, part *int64, isWhole bool) {
	if isWhole {
		*whole++
	} else {
		*part++
	}
}

func (n transfer) print(w io.Writer, took time.Duration) {
	fmt.Fprintf(w, "%d+%d records in\n%d+%d records out\n", n.wholeIn, n.partIn, n.wholeOut, n.partOut)
	rate := uint64(float64(n.bytes) / max(took.Seconds(), 1e-9))
	fmt.Fprintf(w, "%d bytes (%s) copied, %.6g s, %s/s\n", n.bytes, tool.Human(uint64(n.bytes)), took.Seconds(), tool.Human(rate))
}
