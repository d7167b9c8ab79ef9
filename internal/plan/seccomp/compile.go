// Package seccomp compiles OCI seccomp sections into the classic BPF that seccomp(2)
// takes, without libseccomp. It loads nothing. A profile means here what it means to
// runc: names a table does not know are ignored; of several rules for a system
// call one without conditions wins over those with; among those the first
// whose conditions hold; a condition list that names an argument twice holds if
// any of its conditions does. A system call that is newer than every one the
// profile names answers ENOSYS instead of a refusal, so that a libc falls back
// (clone3, faccessat2 and openat2 all broke containers before runc did so); a
// profile that names nothing refuses everything alike.
// The architecture of the host is always part of a profile; a call through one that
// is not, x32 included, kills the process.
//
// What differs from libseccomp: the multiplexers of 32-bit x86, socketcall and
// ipc, are system calls like any other, allowed only by their own names; arguments of
// 32-bit calls are compared with all 64 bits of the register, which the kernel has
// cleared; and what libseccomp kills the thread for, an architecture that is not in the
// profile, ends the process. TestLikeLibseccomp holds that there is nothing else.
package seccomp

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// maxProgram is BPF_MAXINSNS, in instructions.
const maxProgram = 4096

// Flags of seccomp(2)'s SECCOMP_SET_MODE_FILTER.
const (
	FlagLog              = 1 << 1
	FlagSpecAllow        = 1 << 2
	FlagNewListener      = 1 << 3
	FlagWaitKillableRecv = 1 << 5
)

// Filter is a compiled profile. It does not change and may be shared and kept: the
// same profile gives the same bytes on the same architecture.
type Filter struct {
	// Program is an array of struct sock_filter, 8 bytes each, little-endian.
	Program []byte
	// Flags go to seccomp(2). FlagNewListener is set if a rule notifies.
	Flags uint32
}

// Instructions returns the length of the program as struct sock_fprog wants it.
func (f Filter) Instructions() int { return len(f.Program) / 8 }

// Kernel is what a filter need not tell apart because the kernel it is loaded into
// does not.
type Kernel struct {
	// NoX32 is a kernel without the x32 interface, as most are built: it answers
	// every call through it with ENOSYS. So does the filter then, whatever the profile
	// says of x32, without a third of its length, which takes the kernel 80 µs to
	// translate at every start.
	NoX32 bool
}

// Compile turns a profile into a filter for the architecture carob is built for.
// fault.Invalid names the part of the profile that is wrong, fault.Unsupported is
// an architecture without tables.
func Compile(profile *specs.LinuxSeccomp, k Kernel) (Filter, error) {
	return compileFor(runtime.GOARCH, profile, k)
}

func compileFor(goarch string, profile *specs.LinuxSeccomp, k Kernel) (Filter, error) {
	plan, err := newPlan(goarch, profile)
	if err != nil {
		return Filter{}, fmt.Errorf("seccomp profile: %w", err)
	}
	plan.kernel = k
	program := plan.assemble()
	if n := len(program) / 8; n > maxProgram {
		return Filter{}, fault.New(fault.Invalid, fmt.Sprintf("seccomp profile: compiles to %d instructions, the kernel takes %d", n, maxProgram))
	}
	return Filter{Program: program, Flags: plan.flags}, nil
}

// plan is a checked profile with all names resolved.
type plan struct {
	abis   []abi
	flags  uint32
	kernel Kernel
}

// abi is one system call interface of the host with what the profile says of it.
type abi struct {
	arch     archInfo
	fallback uint32            // for what no rule names
	newer    uint32            // for numbers above newest
	newest   uint32            // the highest number that the profile names
	calls    map[uint32][]rule // by number without mask
}

// rule is one clause: all conditions hold → action. None means always.
type rule struct {
	conditions []specs.LinuxSeccompArg
	action     uint32
}

func newPlan(goarch string, profile *specs.LinuxSeccomp) (*plan, error) {
	if profile == nil {
		return nil, fault.New(fault.Invalid, "is missing")
	}
	fallback, err := action(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, fmt.Errorf("defaultAction: %w", err)
	}
	if fallback == retNotify {
		return nil, fault.New(fault.Invalid, "defaultAction: SCMP_ACT_NOTIFY would stop its own listener")
	}
	archs, err := archsFor(goarch, profile.Architectures)
	if err != nil {
		return nil, err
	}
	p := &plan{}
	for _, a := range archs {
		p.abis = append(p.abis, abi{arch: a, fallback: fallback, calls: map[uint32][]rule{}})
	}
	for i, s := range profile.Syscalls {
		if err := p.addRule(s); err != nil {
			return nil, fmt.Errorf("syscalls[%d]: %w", i, err)
		}
	}
	for i := range p.abis {
		p.abis[i].newer = fallback
		if !permits(fallback) {
			p.abis[i].newer = retErrno | enosys
		}
	}
	return p, p.addFlags(profile.Flags)
}

// permits reports whether an action lets the call happen.
func permits(action uint32) bool { return action == retAllow || action == retLog }

func (p *plan) addFlags(flags []specs.LinuxSeccompFlag) error {
	for _, f := range flags {
		switch f {
		case specs.LinuxSeccompFlagLog:
			p.flags |= FlagLog
		case specs.LinuxSeccompFlagSpecAllow:
			p.flags |= FlagSpecAllow
		case specs.LinuxSeccompFlagWaitKillableRecv:
			if p.flags&FlagNewListener == 0 {
				return fault.New(fault.Invalid, "flags: "+string(f)+" needs a rule with SCMP_ACT_NOTIFY")
			}
			p.flags |= FlagWaitKillableRecv
		case "SECCOMP_FILTER_FLAG_TSYNC": // the filter is loaded by a process with one thread
		default:
			return fault.New(fault.Invalid, fmt.Sprintf("flags: %.80q is unknown", f))
		}
	}
	return nil
}

func (p *plan) addRule(s specs.LinuxSyscall) error {
	act, err := action(s.Action, s.ErrnoRet)
	if err != nil {
		return err
	}
	if len(s.Names) == 0 {
		return fault.New(fault.Invalid, "names no system call")
	}
	if act == retNotify {
		if slices.Contains(s.Names, "write") {
			return fault.New(fault.Invalid, "SCMP_ACT_NOTIFY for write would stop the process before its listener is known")
		}
		p.flags |= FlagNewListener
	}
	clauses, err := clauses(s.Args)
	if err != nil {
		return err
	}
	for i := range p.abis {
		a := &p.abis[i]
		for _, name := range s.Names {
			for _, nr := range a.arch.numbers[name] {
				a.add(nr, clauses, act)
			}
		}
	}
	return nil
}

// clauses splits conditions: all must hold, or, when an argument is named twice,
// any of them (runc's rule, because libseccomp refuses the former).
func clauses(args []specs.LinuxSeccompArg) ([][]specs.LinuxSeccompArg, error) {
	seen := map[uint]bool{}
	twice := false
	for _, a := range args {
		if a.Index > 5 {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("args: index %d is above 5", a.Index))
		}
		if !slices.Contains(operators[:], a.Op) {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("args: operator %.80q is unknown", a.Op))
		}
		twice = twice || seen[a.Index]
		seen[a.Index] = true
	}
	if !twice {
		return [][]specs.LinuxSeccompArg{args}, nil
	}
	var out [][]specs.LinuxSeccompArg
	for i := range args {
		out = append(out, args[i:i+1])
	}
	return out, nil
}

var operators = [...]specs.LinuxSeccompOperator{
	specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
	specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
}

// add keeps the invariant that a list is either one rule without conditions or
// only rules with conditions.
func (a *abi) add(nr uint32, clauses [][]specs.LinuxSeccompArg, act uint32) {
	if nr < armPrivate {
		a.newest = max(a.newest, nr)
	}
	have := a.calls[nr]
	if len(have) > 0 && len(have[0].conditions) == 0 {
		return
	}
	for _, c := range clauses {
		if len(c) == 0 {
			a.calls[nr] = []rule{{action: act}}
			return
		}
		a.calls[nr] = append(a.calls[nr], rule{conditions: c, action: act})
	}
}

// Return values of a filter (include/uapi/linux/seccomp.h).
const (
	retKillThread  = 0x00000000
	retKillProcess = 0x80000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retNotify      = 0x7fc00000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000

	eperm    = 1
	enosys   = 38
	maxErrno = 4095
)

// action returns a filter's return value. errnoRet belongs to ERRNO and TRACE alone;
// the runtime spec wants an error for it elsewhere.
func action(a specs.LinuxSeccompAction, errnoRet *uint) (uint32, error) {
	data := uint(eperm)
	if errnoRet != nil {
		data = *errnoRet
	}
	switch a {
	case specs.ActErrno:
		if data > maxErrno {
			return 0, fault.New(fault.Invalid, fmt.Sprintf("errnoRet %d is above %d", data, maxErrno))
		}
		return retErrno | uint32(data), nil
	case specs.ActTrace:
		if data > 0xffff {
			return 0, fault.New(fault.Invalid, fmt.Sprintf("errnoRet %d is above 65535", data))
		}
		return retTrace | uint32(data), nil
	}
	plain := map[specs.LinuxSeccompAction]uint32{
		specs.ActKill: retKillThread, specs.ActKillThread: retKillThread, specs.ActKillProcess: retKillProcess,
		specs.ActTrap: retTrap, specs.ActAllow: retAllow, specs.ActLog: retLog, specs.ActNotify: retNotify,
	}
	ret, ok := plain[a]
	if !ok {
		return 0, fault.New(fault.Invalid, fmt.Sprintf("action %.80q is unknown", a))
	}
	if errnoRet != nil {
		return 0, fault.New(fault.Invalid, fmt.Sprintf("errnoRet does not go with %s", a))
	}
	return ret, nil
}

func encode(code []instruction) []byte {
	out := make([]byte, 0, 8*len(code))
	for _, i := range code {
		out = binary.LittleEndian.AppendUint16(out, i.code)
		out = append(out, i.jt, i.jf)
		out = binary.LittleEndian.AppendUint32(out, i.k)
	}
	return out
}
