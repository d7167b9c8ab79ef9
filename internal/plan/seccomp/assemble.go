package seccomp

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// instruction is a struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// Opcodes of classic BPF (include/uapi/linux/bpf_common.h) and the offsets of struct
// seccomp_data.
const (
	opLoad  = 0x20 // A = 32-bit word at k
	opAnd   = 0x54 // A &= k
	opJump  = 0x05 // pc += k
	opEqual = 0x15
	opAbove = 0x25
	opReach = 0x35 // A >= k
	opRet   = 0x06

	offNumber = 0
	offArch   = 4
	offArgs   = 16

	maxHop = 255
)

// label is a position counted from the end of the program, so that it does not
// change while the program grows at its front. Conditional jumps only lead
// forward and at most 255 instructions: building from the end, every target
// and distance is known when a jump is written, and a far target gets a
// stepping stone on the way.
type label int

// assembler holds the program in reverse.
type assembler struct {
	code    []instruction
	returns map[uint32]label
}

func (a *assembler) emit(i instruction) label {
	a.code = append(a.code, i)
	return label(len(a.code) - 1)
}

// near returns a label of the same effect as l that the next two instructions
// can reach; room is kept for one more stepping stone.
func (a *assembler) near(l label) label {
	if len(a.code)-int(l) < maxHop-1 {
		return l
	}
	return a.emit(instruction{code: opJump, k: uint32(len(a.code) - 1 - int(l))})
}

// jump emits a conditional jump, which never falls through.
func (a *assembler) jump(op uint16, k uint32, yes, no label) label {
	yes = a.near(yes)
	no = a.near(no)
	at := len(a.code)
	return a.emit(instruction{code: op, k: k, jt: uint8(at - 1 - int(yes)), jf: uint8(at - 1 - int(no))})
}

// ret returns a near label of a return.
func (a *assembler) ret(action uint32) label {
	if l, ok := a.returns[action]; ok && len(a.code)-int(l) < maxHop-8 {
		return l
	}
	a.returns[action] = a.emit(instruction{code: opRet, k: action})
	return a.returns[action]
}

// assemble writes: dispatch on the architecture, then for each a binary search
// over the numbers, then the arguments where rules have conditions.
func (p *plan) assemble() []byte {
	a := &assembler{returns: map[uint32]label{}}
	next := a.ret(retKillProcess)
	for i := len(p.abis) - 1; i >= 0; i-- {
		b := &p.abis[i]
		if b.arch.mask != 0 {
			continue // searched together with the table that has the same audit value
		}
		segments := a.segments(b)
		segments = append(segments, p.masked(a, b)...)
		if first := a.search(segments); int(first) != len(a.code)-1 { // the load below falls through
			a.emit(instruction{code: opJump, k: uint32(len(a.code) - 1 - int(first))})
		}
		entry := a.emit(instruction{code: opLoad, k: offNumber})
		next = a.jump(opEqual, b.arch.audit, entry, next)
	}
	a.emit(instruction{code: opLoad, k: offArch})
	slices.Reverse(a.code)
	return encode(a.code)
}

// segment is a range of numbers, from start to the next segment, and what happens
// to them: a plain return, or a block of code that a.block can be asked for.
type segment struct {
	start  uint32
	action uint32
	rules  []rule
}

func (s segment) same(o segment) bool {
	return s.rules == nil && o.rules == nil && s.action == o.action
}

// segments covers all numbers of a table below the x32 bit.
func (a *assembler) segments(b *abi) []segment {
	numbers := make([]uint32, 0, len(b.calls))
	for nr := range b.calls {
		numbers = append(numbers, nr)
	}
	slices.Sort(numbers)
	var out []segment
	add := func(s segment) {
		s.start |= b.arch.mask
		if len(out) > 0 && out[len(out)-1].start == s.start {
			out = out[:len(out)-1]
		}
		if len(out) == 0 || !out[len(out)-1].same(s) {
			out = append(out, s)
		}
	}
	unnamed := func(nr uint32) uint32 {
		if nr > b.newest {
			return b.newer
		}
		return b.fallback
	}
	add(segment{start: 0, action: unnamed(0)})
	for _, nr := range numbers {
		rules := b.calls[nr]
		s := segment{start: nr, action: b.fallback, rules: rules}
		if len(rules[0].conditions) == 0 {
			s.action, s.rules = rules[0].action, nil
		}
		add(s)
		add(segment{start: nr + 1, action: unnamed(nr + 1)})
	}
	return out
}

// masked covers the numbers from the x32 bit on: x32's table, or death where the
// profile has none. Other architectures have no such numbers.
func (p *plan) masked(a *assembler, b *abi) []segment {
	if b.arch.audit != auditX86_64 {
		return nil
	}
	for i := range p.abis {
		switch {
		case p.abis[i].arch.mask != x32Bit:
		case p.kernel.NoX32:
			return []segment{{start: x32Bit, action: retErrno | enosys}}
		default:
			return a.segments(&p.abis[i])
		}
	}
	return []segment{{start: x32Bit, action: retKillProcess}}
}

// search emits a balanced binary search for A among segments, the later half
// first in memory order from the end.
func (a *assembler) search(s []segment) label {
	if len(s) == 1 {
		if s[0].rules == nil {
			return a.ret(s[0].action)
		}
		return a.block(s[0])
	}
	mid := len(s) / 2
	above := a.search(s[mid:])
	below := a.search(s[:mid])
	return a.jump(opReach, s[mid].start, above, below)
}

// block emits the clauses of one system call, first clause first.
func (a *assembler) block(s segment) label {
	next := a.ret(s.action)
	for i := len(s.rules) - 1; i >= 0; i-- {
		r := s.rules[i]
		match := a.ret(r.action)
		for j := len(r.conditions) - 1; j >= 0; j-- {
			match = a.condition(r.conditions[j], match, next)
		}
		next = match
	}
	return next
}

// condition compares a 64-bit argument, high word first.
func (a *assembler) condition(c specs.LinuxSeccompArg, yes, no label) label {
	low := offArgs + 8*uint32(c.Index)
	hiValue, loValue := uint32(c.Value>>32), uint32(c.Value)
	op := uint16(opAbove)
	switch c.Op {
	case specs.OpNotEqual:
		yes, no = no, yes
		fallthrough
	case specs.OpEqualTo:
		a.jump(opEqual, loValue, yes, no)
		lo := a.emit(instruction{code: opLoad, k: low})
		a.jump(opEqual, hiValue, lo, no)
		return a.emit(instruction{code: opLoad, k: low + 4})
	case specs.OpMaskedEqual:
		a.jump(opEqual, uint32(c.ValueTwo), yes, no)
		a.emit(instruction{code: opAnd, k: loValue})
		lo := a.emit(instruction{code: opLoad, k: low})
		a.jump(opEqual, uint32(c.ValueTwo>>32), lo, no)
		a.emit(instruction{code: opAnd, k: hiValue})
		return a.emit(instruction{code: opLoad, k: low + 4})
	case specs.OpLessThan: // not >=
		yes, no = no, yes
		op = opReach
	case specs.OpGreaterEqual:
		op = opReach
	case specs.OpLessEqual: // not >
		yes, no = no, yes
	}
	a.jump(op, loValue, yes, no)
	lo := a.emit(instruction{code: opLoad, k: low})
	equal := a.jump(opEqual, hiValue, lo, no)
	a.jump(opAbove, hiValue, yes, equal)
	return a.emit(instruction{code: opLoad, k: low + 4})
}
