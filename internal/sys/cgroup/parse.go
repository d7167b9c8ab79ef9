package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// unlimitedV1 is where v1 memory numbers stop meaning anything: the kernel shows
// LONG_MAX rounded down to a page for "no limit".
const unlimitedV1 = math.MaxInt64 &^ 0xffff

// parseNumber reads a file with one number; "max" and v1's unlimited are
// math.MaxUint64, negative numbers too.
func parseNumber(b []byte) (uint64, error) {
	b = bytes.TrimSpace(b)
	if string(b) == "max" || (len(b) > 1 && b[0] == '-') {
		return math.MaxUint64, nil
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number %.40q: %w", b, err)
	}
	if n >= unlimitedV1 {
		n = math.MaxUint64
	}
	return n, nil
}

func readNumber(path string) (uint64, error) {
	b, err := readInto(path, make([]byte, 0, 64))
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(b)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// flat walks a flat-keyed text ("key number" per line) and calls f for each
// line; lines that are not of this form are skipped. It allocates nothing.
func flat(b []byte, f func(key []byte, n uint64)) {
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		key, rest, ok := bytes.Cut(line, []byte(" "))
		if n, valid := digits(rest); ok && valid {
			f(key, n)
		}
	}
}

func digits(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(b) > 0
}

// parseProcs reads cgroup.procs: a pid per line. A process outside the reader's
// pid namespace is shown as 0 and skipped.
func parseProcs(r io.Reader) ([]int, error) {
	var out []int
	s := bufio.NewScanner(r)
	for s.Scan() {
		pid, err := strconv.ParseInt(s.Text(), 10, 32)
		if err != nil || pid < 0 {
			return nil, fmt.Errorf("cgroup.procs: line %.40q", s.Text())
		}
		if pid > 0 {
			out = append(out, int(pid))
		}
	}
	return out, s.Err()
}

// Pressure is one line of a PSI file (Documentation/accounting/psi.rst): the
// share of time in percent over 10, 60 and 300 s, and the total in microseconds.
type Pressure struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// Stall is a PSI file: some tasks waited, or all of them.
type Stall struct{ Some, Full Pressure }

func parseStall(r io.Reader) (*Stall, error) {
	var out Stall
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) == 0 {
			continue
		}
		p := map[string]*Pressure{"some": &out.Some, "full": &out.Full}[f[0]]
		if p == nil {
			continue
		}
		for _, kv := range f[1:] {
			if err := p.set(kv); err != nil {
				return nil, fmt.Errorf("pressure: %.80q: %w", s.Text(), err)
			}
		}
	}
	return &out, s.Err()
}

func (p *Pressure) set(kv string) (err error) {
	k, v, _ := strings.Cut(kv, "=")
	switch k {
	case "avg10":
		p.Avg10, err = strconv.ParseFloat(v, 64)
	case "avg60":
		p.Avg60, err = strconv.ParseFloat(v, 64)
	case "avg300":
		p.Avg300, err = strconv.ParseFloat(v, 64)
	case "total":
		p.Total, err = strconv.ParseUint(v, 10, 64)
	}
	return err
}

// IO is what a group moved to and from block devices.
type IO struct{ ReadBytes, WriteBytes, Reads, Writes uint64 }

// parseBlkio sums one v1 blkio file ("8:0 Read 4096" per line) over devices.
func parseBlkio(r io.Reader) (read, written uint64, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) != 3 { // the last line is "Total N"
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("blkio: %.80q: %w", s.Text(), err)
		}
		switch f[1] {
		case "Read":
			read += n
		case "Write":
			written += n
		}
	}
	return read, written, s.Err()
}

// parseIOStat sums v2's io.stat ("8:0 rbytes=… wbytes=… rios=… wios=…").
func parseIOStat(r io.Reader) (IO, error) {
	var out IO
	s := bufio.NewScanner(r)
	for s.Scan() {
		for _, kv := range strings.Fields(s.Text()) {
			k, v, _ := strings.Cut(kv, "=")
			p := map[string]*uint64{"rbytes": &out.ReadBytes, "wbytes": &out.WriteBytes, "rios": &out.Reads, "wios": &out.Writes}[k]
			if p == nil {
				continue
			}
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				return IO{}, fmt.Errorf("io.stat: %.80q: %w", s.Text(), err)
			}
			*p += n
		}
	}
	return out, s.Err()
}

// parseThrottles reads a v1 throttle file ("8:0 1048576" per line).
func parseThrottles(r io.Reader) (map[[2]int64]uint64, error) {
	out := map[[2]int64]uint64{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) != 2 {
			continue
		}
		dev, err := parseDevice(f[0])
		if err != nil {
			continue // "default 100" of a weight file
		}
		if out[dev], err = strconv.ParseUint(f[1], 10, 64); err != nil {
			return nil, fmt.Errorf("throttle: %.80q: %w", s.Text(), err)
		}
	}
	return out, s.Err()
}

// parseIOMax reads v2's io.max into one map per key ("rbps", "wbps", "riops", "wiops").
func parseIOMax(r io.Reader) (map[string]map[[2]int64]uint64, error) {
	out := map[string]map[[2]int64]uint64{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 2 {
			continue
		}
		dev, err := parseDevice(f[0])
		if err != nil {
			return nil, err
		}
		for _, kv := range f[1:] {
			k, v, _ := strings.Cut(kv, "=")
			if v == "max" {
				continue
			}
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("io.max: %.80q: %w", s.Text(), err)
			}
			if out[k] == nil {
				out[k] = map[[2]int64]uint64{}
			}
			out[k][dev] = n
		}
	}
	return out, s.Err()
}

func parseDevice(s string) (dev [2]int64, err error) {
	major, minor, ok := strings.Cut(s, ":")
	ma, err1 := strconv.ParseUint(major, 10, 32)
	mi, err2 := strconv.ParseUint(minor, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return dev, errors.Join(fmt.Errorf("device %.40q", s), err1, err2)
	}
	return [2]int64{int64(ma), int64(mi)}, nil
}
