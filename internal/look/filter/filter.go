// Package filter says which system calls a seccomp filter refuses, by running its
// program with every possible argument at once: what a program reads of the arguments
// is unknown, and where it decides by them both ways are gone. It is pure.
package filter

import (
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"

	"carob/internal/fault"
)

// Instruction is one of a classic BPF program.
type Instruction struct {
	Code   uint16
	Jt, Jf uint8
	K      uint32
}

// Verdict is what filters do with the calls of one architecture.
type Verdict struct {
	// Refused are the calls that are refused whatever their arguments, Partly those
	// that are refused with some; both in order of name.
	Refused []string `json:"refused"`
	Partly  []string `json:"partly,omitempty"`
}

// Actions of a filter (seccomp(2)); what is below an action binds more.
const (
	actionMask = 0xffff0000
	retLog     = 0x7ffc0000
	retTrace   = 0x7ff00000
	retNotify  = 0x7fc00000
	retAllow   = 0x7fff0000
)

// Judge runs filters for every system call of an architecture as Go names it. Unknown
// architectures are Unsupported, programs the kernel would not have taken Invalid.
func Judge(programs [][]Instruction, goarch string) (Verdict, error) {
	info, err := arch.GetInfo(goarch)
	if err != nil {
		return Verdict{}, fault.Wrap(fault.Unsupported, "system calls of "+goarch, err)
	}
	v := Verdict{Refused: []string{}}
	for number, name := range info.SyscallNumbers {
		some, all := false, false
		for _, p := range programs {
			r := run{program: p, number: uint32(number), arch: uint32(info.ID), seen: map[state]bool{}}
			if err := r.from(state{}); err != nil {
				return Verdict{}, err
			}
			some = some || r.refused
			all = all || r.refused && !r.passed // one filter is enough to refuse
		}
		switch {
		case all:
			v.Refused = append(v.Refused, name)
		case some:
			v.Partly = append(v.Partly, name)
		}
	}
	slices.Sort(v.Refused)
	slices.Sort(v.Partly)
	return v, nil
}

// passes reports whether a call goes on to the kernel, perhaps by somebody's leave.
func passes(action uint32) bool {
	switch action & actionMask {
	case retAllow, retLog, retTrace, retNotify:
		return true
	}
	return false
}

// word is a number that may be unknown.
type word struct {
	n     uint32
	known bool
}

// state is where a run is. Scratch memory is unknown throughout: no compiler of filters
// keeps what it decides by there.
type state struct {
	pc   int
	a, x word
}

// run is one program with one call.
type run struct {
	program         []Instruction
	number, arch    uint32
	seen            map[state]bool
	refused, passed bool
}

// Classes and modes of instructions (linux/bpf_common.h).
const (
	classLD, classLDX, classST, classSTX    = 0x00, 0x01, 0x02, 0x03
	classALU, classJMP, classRET, classMISC = 0x04, 0x05, 0x06, 0x07
	modeIMM, modeABS, modeLEN               = 0x00, 0x20, 0x80
	sourceX                                 = 0x08
	returnA                                 = 0x10
	misc                                    = 0x80 // TXA
)

// most is how many states of one program are looked at.
const most = 1 << 16

// from runs on from a state, both ways where it branches by what is unknown.
func (r *run) from(start state) error {
	for todo := []state{start}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if r.seen[s] {
			continue
		}
		if r.seen[s] = true; len(r.seen) > most {
			return fault.New(fault.Unsupported, "seccomp filter: has too many ways through it")
		}
		if s.pc < 0 || s.pc >= len(r.program) {
			return fault.New(fault.Invalid, "seccomp filter: runs past its end")
		}
		todo = append(todo, r.step(s)...)
	}
	return nil
}

// step does one instruction and returns where it goes on: nowhere, at one place, or at
// two.
func (r *run) step(s state) []state {
	in := r.program[s.pc]
	next := s
	next.pc++
	switch in.Code & 7 {
	case classRET:
		r.end(in, s)
		return nil
	case classJMP:
		return jump(in, s)
	case classLD:
		next.a = r.load(in)
	case classLDX:
		next.x = r.load(in)
	case classALU:
		next.a = compute(in, s)
	case classMISC:
		if in.Code&0xf8 == misc {
			next.a = s.x
		} else {
			next.x = s.a
		}
	}
	return []state{next}
}

func (r *run) end(in Instruction, s state) {
	action := word{in.K, true}
	if in.Code&0x18 == returnA {
		action = s.a
	}
	if !action.known || passes(action.n) {
		r.passed = true
	}
	if !action.known || !passes(action.n) {
		r.refused = true
	}
}

// load is a word of struct seccomp_data: the number, the architecture, and behind them
// the address and the arguments, which can be anything.
func (r *run) load(in Instruction) word {
	switch mode := in.Code & 0xe0; {
	case mode == modeIMM:
		return word{in.K, true}
	case mode == modeLEN:
		return word{64, true} // sizeof(struct seccomp_data)
	case mode == modeABS && in.K == 0:
		return word{r.number, true}
	case mode == modeABS && in.K == 4:
		return word{r.arch, true}
	}
	return word{}
}

// operand is what an instruction works with beside A.
func operand(in Instruction, s state) word {
	if in.Code&sourceX != 0 {
		return s.x
	}
	return word{in.K, true}
}

func compute(in Instruction, s state) word {
	by := operand(in, s)
	if !s.a.known || !by.known {
		return word{}
	}
	a, k := s.a.n, by.n
	switch in.Code & 0xf0 {
	case 0x00:
		return word{a + k, true}
	case 0x10:
		return word{a - k, true}
	case 0x20:
		return word{a * k, true}
	case 0x40:
		return word{a | k, true}
	case 0x50:
		return word{a & k, true}
	case 0x60:
		return word{a << k, true}
	case 0x70:
		return word{a >> k, true}
	case 0x80:
		return word{-a, true}
	case 0xa0:
		return word{a ^ k, true}
	}
	return word{} // division, by what may be zero
}

// jump goes where a comparison sends it, both ways where its sides are unknown. All
// jumps go forward.
func jump(in Instruction, s state) []state {
	yes, no := s, s
	if in.Code&0xf0 == 0 { // always
		yes.pc += 1 + int(in.K)
		return []state{yes}
	}
	yes.pc += 1 + int(in.Jt)
	no.pc += 1 + int(in.Jf)
	by := operand(in, s)
	if !s.a.known || !by.known {
		return []state{yes, no}
	}
	a, k := s.a.n, by.n
	holds := false
	switch in.Code & 0xf0 {
	case 0x10:
		holds = a == k
	case 0x20:
		holds = a > k
	case 0x30:
		holds = a >= k
	case 0x40:
		holds = a&k != 0
	}
	if holds {
		return []state{yes}
	}
	return []state{no}
}
