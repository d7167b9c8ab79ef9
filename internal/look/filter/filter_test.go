package filter

import (
	"slices"
	"testing"

	"carob/internal/fault"
)

// The instructions that compilers of filters write (linux/filter.h).
func load(offset uint32) Instruction             { return Instruction{Code: 0x20, K: offset} } // BPF_LD|BPF_W|BPF_ABS
func ret(action uint32) Instruction              { return Instruction{Code: 0x06, K: action} } // BPF_RET|BPF_K
func equal(k uint32, jt, jf uint8) Instruction   { return Instruction{0x15, jt, jf, k} }       // BPF_JMP|BPF_JEQ|BPF_K
func greater(k uint32, jt, jf uint8) Instruction { return Instruction{0x25, jt, jf, k} }       // BPF_JMP|BPF_JGT|BPF_K
func bits(k uint32, jt, jf uint8) Instruction    { return Instruction{0x45, jt, jf, k} }       // BPF_JMP|BPF_JSET|BPF_K
func and(k uint32) Instruction                   { return Instruction{Code: 0x54, K: k} }      // BPF_ALU|BPF_AND|BPF_K
func always(k uint32) Instruction                { return Instruction{Code: 0x05, K: k} }      // BPF_JMP|BPF_JA

const (
	allow    = 0x7fff0000
	eperm    = 0x00050001
	kill     = 0x80000000
	notify   = 0x7fc00000
	x86      = 0xc000003e // AUDIT_ARCH_X86_64
	arm      = 0xc00000b7 // AUDIT_ARCH_AARCH64
	read     = 0
	clone    = 56
	reboot   = 169
	mount    = 165
	argument = 16
)

func judge(t *testing.T, programs ...[]Instruction) Verdict {
	t.Helper()
	v, err := Judge(programs, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestJudge(t *testing.T) {
	deny := func(number uint32) []Instruction {
		return []Instruction{load(4), equal(x86, 1, 0), ret(kill), load(0), equal(number, 0, 1), ret(eperm), ret(allow)}
	}
	for _, c := range []struct {
		name     string
		programs [][]Instruction
		refused  []string
		partly   []string
	}{
		{"no filter", nil, nil, nil},
		{"one call", [][]Instruction{deny(reboot)}, []string{"reboot"}, nil},
		{"two filters", [][]Instruction{deny(reboot), deny(mount)}, []string{"mount", "reboot"}, nil},
		{"by an argument", [][]Instruction{{load(0), equal(clone, 0, 3), load(argument), bits(0x10000000, 0, 1), ret(eperm), ret(allow)}}, nil, []string{"clone"}},
		{"by an argument twice, never both", [][]Instruction{{
			load(0), equal(clone, 0, 3), load(argument), equal(5, 2, 0), equal(5, 0, 0), ret(allow), ret(eperm)}}, nil, []string{"clone"}},
		{"whatever the argument", [][]Instruction{{load(0), equal(clone, 0, 3), load(argument), bits(1, 0, 0), ret(eperm), ret(allow)}}, []string{"clone"}, nil},
		{"leave to another", [][]Instruction{{load(0), equal(mount, 0, 1), ret(notify), ret(allow)}}, nil, nil},
		{"another architecture's filter", [][]Instruction{{load(4), equal(arm, 0, 1), ret(kill), ret(allow)}}, nil, nil},
		{"a masked number, which 425 has too", [][]Instruction{{load(0), and(0xff), equal(reboot&0xff, 0, 2), always(0), ret(eperm), ret(allow)}}, []string{"io_uring_setup", "reboot"}, nil},
		{"what is refused by one with an argument, by another always", [][]Instruction{
			{load(0), equal(clone, 0, 3), load(argument), bits(1, 0, 1), ret(eperm), ret(allow)}, deny(clone)}, []string{"clone"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(t, c.programs...)
			if !slices.Equal(v.Refused, c.refused) || !slices.Equal(v.Partly, c.partly) {
				t.Errorf("refused %q, partly %q; want %q, %q", v.Refused, v.Partly, c.refused, c.partly)
			}
		})
	}
}

func TestEverything(t *testing.T) {
	if v := judge(t, []Instruction{ret(kill)}); len(v.Refused) < 300 {
		t.Errorf("only %d calls are refused by a filter that refuses all", len(v.Refused))
	}
	v := judge(t, []Instruction{load(0), greater(334, 0, 1), ret(eperm), ret(allow)})
	if slices.Contains(v.Refused, "read") || !slices.Contains(v.Refused, "io_uring_setup") {
		t.Errorf("%q", v.Refused)
	}
}

func TestBadPrograms(t *testing.T) {
	for _, p := range [][]Instruction{{}, {load(0)}, {always(1 << 31), ret(allow)}, {equal(0, 200, 200), ret(allow)}} {
		if _, err := Judge([][]Instruction{p}, "amd64"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", p, err)
		}
	}
	if _, err := Judge(nil, "pdp11"); !fault.Is(err, fault.Unsupported) {
		t.Errorf("%v", err)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add([]byte{0x20, 0, 0, 0, 0x15, 0, 1, 5, 0x06, 0, 0, 0, 0x06, 0, 0, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p []Instruction
		for ; len(b) >= 4 && len(p) < 64; b = b[4:] {
			p = append(p, Instruction{uint16(b[0]), b[1], b[2], uint32(b[3]) << 24})
		}
		v, err := Judge([][]Instruction{p}, "arm64")
		if err != nil {
			return
		}
		for _, name := range v.Refused {
			if slices.Contains(v.Partly, name) {
				t.Errorf("%s is refused always and sometimes", name)
			}
		}
	})
}

// TestCompute runs what compilers seldom write: arithmetic with the number, X, and
// constants, each way round.
func TestCompute(t *testing.T) {
	const tax, txa = 0x07, 0x87
	for name, c := range map[string]struct {
		op   uint16
		k, n uint32 // A op K for the number of reboot
	}{
		"add": {0x04, 1, 170}, "sub": {0x14, 1, 168}, "mul": {0x24, 2, 338}, "or": {0x44, 2, 171}, "and": {0x54, 0xf, 9},
		"lsh": {0x64, 1, 338}, "rsh": {0x74, 1, 84}, "neg": {0x84, 0, 1<<32 - 169}, "xor": {0xa4, 1, 168},
	} {
		p := []Instruction{load(0), {Code: c.op, K: c.k}, {Code: tax}, {Code: 0, K: 7}, {Code: txa}, equal(c.n, 0, 1), ret(eperm), ret(allow)}
		if v := judge(t, p); !slices.Contains(v.Refused, "reboot") || slices.Contains(v.Refused, "read") {
			t.Errorf("%s: %q", name, v.Refused)
		}
	}
	// What is divided, kept in memory or read of the address of the call is not known.
	for _, in := range []Instruction{{Code: 0x34, K: 2}, {Code: 0x60, K: 0}, {Code: 0x20, K: 8}} {
		if v := judge(t, []Instruction{load(0), in, equal(3, 0, 1), ret(eperm), ret(allow)}); len(v.Refused) > 0 || len(v.Partly) < 300 {
			t.Errorf("%+v: %d refused, %d partly", in, len(v.Refused), len(v.Partly))
		}
	}
	// Returning what is not known, comparing with X, and the other comparisons.
	if v := judge(t, []Instruction{load(argument), {Code: 0x16}}); len(v.Partly) < 300 {
		t.Errorf("%d partly", len(v.Partly))
	}
	for _, c := range []struct {
		in      Instruction
		refused bool
	}{{Instruction{0x35, 0, 1, reboot}, true}, {Instruction{0x35, 0, 1, reboot + 1}, false}, {Instruction{0x1d, 0, 1, 0}, true}, {Instruction{0x45, 0, 1, 8}, true}} {
		p := []Instruction{{Code: 0x01, K: reboot}, load(0), c.in, ret(eperm), ret(allow)}
		if got := slices.Contains(judge(t, p).Refused, "reboot"); got != c.refused {
			t.Errorf("%+v: %v", c.in, got)
		}
	}
	if v := judge(t, []Instruction{{Code: 0x80}, equal(64, 0, 1), ret(allow), ret(eperm)}); len(v.Refused) > 0 {
		t.Errorf("the size of what a filter reads is 64: %q", v.Refused)
	}
}
