package ident

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
)

// The defaults for user namespaces. shadow hands out subordinate ids from 100000
// to 600100000 by default (SUB_UID_MAX) and systemd-nspawn takes 524288 to
// 1879048191, so pods begin above both; 65536 ids each, some 4000 pods up to
// 2^31, beyond which too many programs take ids for negative.
const (
	DefaultBase  = 1879048192
	DefaultCount = 65536
	topID        = math.MaxInt32
)

// Range is Count ids from First on.
type Range struct{ First, Count uint32 }

func (r Range) end() uint64 { return uint64(r.First) + uint64(r.Count) }

// Overlaps reports whether two ranges share an id; an empty one shares none.
func (r Range) Overlaps(o Range) bool {
	return r.Count > 0 && o.Count > 0 && uint64(r.First) < o.end() && uint64(o.First) < r.end()
}

// Allocate returns the lowest range of count ids within [base, base+size) that
// overlaps none of used, which may be in any order and overlap among
// themselves. Candidates are base, base+count, …, so that ranges of one size leave no
// gaps. A range too small or full is fault.Unavailable, a senseless one
// fault.Invalid.
func Allocate(used []Range, base, size, count uint32) (Range, error) {
	limit := uint64(base) + uint64(size)
	if count == 0 || limit > topID+1 {
		return Range{}, fault.New(fault.Invalid, fmt.Sprintf("id range: %d ids from %d in pieces of %d: outside of 0..%d", size, base, count, topID))
	}
	taken := slices.Clone(used)
	slices.SortFunc(taken, func(a, b Range) int {
		if a.First != b.First {
			return int(int64(a.First) - int64(b.First))
		}
		return int(int64(a.Count) - int64(b.Count))
	})
	first := uint64(base)
	for _, u := range taken {
		if u.Count == 0 || u.end() <= first {
			continue
		}
		if first+uint64(count) <= uint64(u.First) {
			break
		}
		first = uint64(base) + (u.end()-uint64(base)+uint64(count)-1)/uint64(count)*uint64(count)
	}
	if first+uint64(count) > limit {
		return Range{}, fault.New(fault.Unavailable, fmt.Sprintf("id range: no %d free ids left from %d to %d", count, base, limit-1))
	}
	return Range{uint32(first), count}, nil
}

// ParseSubIDs reads /etc/subuid or /etc/subgid (subuid(5): name:first:count) as
// ranges that others own. Lines that are no such triple are skipped, as shadow
// does; a file beyond all reason is fault.Invalid.
func ParseSubIDs(r io.Reader) ([]Range, error) {
	var out []Range
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	s := bufio.NewScanner(limited)
	for s.Scan() {
		f := strings.Split(strings.TrimSpace(s.Text()), ":")
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 != nil || err2 != nil || count == 0 {
			continue
		}
		out = append(out, Range{uint32(first), uint32(count)})
	}
	if err := s.Err(); err != nil {
		return nil, fault.Wrap(fault.Invalid, "subordinate ids", err)
	}
	if limited.N <= 0 {
		return nil, fault.New(fault.Invalid, "subordinate ids: the file is too large")
	}
	return out, nil
}
