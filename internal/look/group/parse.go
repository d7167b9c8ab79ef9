package group

import (
	"math"
	"strconv"
	"strings"
)

// unlimited is where numbers of v1's memory controller stop meaning anything: it shows
// LONG_MAX rounded down to a page for "no limit".
const unlimited = math.MaxInt64 &^ 0xffff

// limit reads a file with one number. What means "no limit" ("max", -1, v1's LONG_MAX)
// gives nil, and so does what is no number.
func limit(s string) *uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil || n >= unlimited {
		return nil
	}
	return &n
}

// number reads a file with one number, 0 for anything else.
func number(s string) uint64 {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// flat reads lines of "key number"; other lines are skipped, further words too.
func flat(s string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(f[1], 10, 64); err == nil {
			out[f[0]] = n
		}
	}
	return out
}

// quotaV2 reads cpu.max ("50000 100000") as a number of CPUs, nil for no limit.
func quotaV2(s string) *float64 {
	f := strings.Fields(s)
	if len(f) != 2 {
		return nil
	}
	return quota(f[0], f[1])
}

// quota divides a time by the period it is given for. "max" and -1 are no limit.
func quota(q, period string) *float64 {
	n, err1 := strconv.ParseInt(strings.TrimSpace(q), 10, 64)
	p, err2 := strconv.ParseInt(strings.TrimSpace(period), 10, 64)
	if err1 != nil || err2 != nil || n <= 0 || p <= 0 {
		return nil
	}
	v := float64(n) / float64(p)
	return &v
}

// Stall is a pressure file (Documentation/accounting/psi.rst): the share of time in
// percent in which some task waited, or all of them did.
type Stall struct {
	Some10  float64 `json:"some10"`
	Some60  float64 `json:"some60"`
	Some300 float64 `json:"some300"`
	Full10  float64 `json:"full10"`
	Full60  float64 `json:"full60"`
	Full300 float64 `json:"full300"`
}

// stall reads a pressure file; nil when it holds none.
func stall(s string) *Stall {
	var out Stall
	found := false
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		var to [3]*float64
		switch f[0] {
		case "some":
			to = [3]*float64{&out.Some10, &out.Some60, &out.Some300}
		case "full":
			to = [3]*float64{&out.Full10, &out.Full60, &out.Full300}
		default:
			continue
		}
		found = averages(f[1:], to) || found
	}
	if !found {
		return nil
	}
	return &out
}

func averages(words []string, to [3]*float64) bool {
	found := false
	for _, w := range words {
		for i, key := range [...]string{"avg10=", "avg60=", "avg300="} {
			v, ok := strings.CutPrefix(w, key)
			n, err := strconv.ParseFloat(v, 64)
			if ok && err == nil && n >= 0 && n <= 100 { // also keeps out NaN
				*to[i], found = n, true
			}
		}
	}
	return found
}

// memberships reads /proc/PID/cgroup ("4:memory:/a", "0::/a") into paths by the list of
// controllers, "" for v2.
func memberships(s string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(s) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 && strings.HasPrefix(f[2], "/") {
			out[f[1]] = strings.TrimSuffix(f[2], " (deleted)")
		}
	}
	return out
}

// pids reads cgroup.procs. A process outside the reader's pid namespace is shown as 0
// and left out.
func pids(s string) []int {
	var out []int
	for line := range strings.Lines(s) {
		if n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 32); err == nil && n > 0 {
			out = append(out, int(n))
		}
	}
	return out
}

// moved sums what went to and from block devices: v2's io.stat ("8:0 rbytes=…
// wbytes=…") or a v1 blkio file ("8:0 Read 4096").
func moved(s string) (read, written uint64) {
	for line := range strings.Lines(s) {
		f := strings.Fields(line)
		if len(f) == 3 && f[1] == "Read" {
			read += number(f[2])
		}
		if len(f) == 3 && f[1] == "Write" {
			written += number(f[2])
		}
		for _, w := range f {
			if v, ok := strings.CutPrefix(w, "rbytes="); ok {
				read += number(v)
			}
			if v, ok := strings.CutPrefix(w, "wbytes="); ok {
				written += number(v)
			}
		}
	}
	return read, written
}

// count returns how many members a list like "0-3,8" has. What is no list has none.
func count(list string) int {
	n := 0
	for _, word := range strings.Split(strings.TrimSpace(list), ",") {
		first, last, ok := strings.Cut(word, "-")
		if !ok {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 == nil && err2 == nil && a <= b {
			n += int(b-a) + 1
		}
	}
	return n
}
