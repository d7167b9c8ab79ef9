package seccomp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

func ptr[T any](v T) *T { return &v }

// machine runs a filter as the kernel does and checks what the kernel's verifier
// checks: no jump leaves the program, every load is a word of seccomp_data.
type data struct {
	nr, arch uint32
	args     [6]uint64
}

func (d data) word(off uint32) (uint32, error) {
	var b [64]byte
	binary.LittleEndian.PutUint32(b[0:], d.nr)
	binary.LittleEndian.PutUint32(b[4:], d.arch)
	for i, a := range d.args {
		binary.LittleEndian.PutUint64(b[16+8*i:], a)
	}
	if off%4 != 0 || off > 60 {
		return 0, fmt.Errorf("load of word %d", off)
	}
	return binary.LittleEndian.Uint32(b[off:]), nil
}

func execute(program []byte, d data) (ret uint32, steps int, err error) {
	var acc uint32
	for pc := 0; ; pc++ {
		if pc*8+8 > len(program) {
			return 0, steps, fmt.Errorf("pc %d is outside of the program", pc)
		}
		i := program[pc*8:]
		op, jt, jf, k := binary.LittleEndian.Uint16(i), int(i[2]), int(i[3]), binary.LittleEndian.Uint32(i[4:])
		steps++
		var hit bool
		switch op {
		case opLoad:
			if acc, err = d.word(k); err != nil {
				return 0, steps, err
			}
			continue
		case opAnd:
			acc &= k
			continue
		case opJump:
			pc += int(k)
			continue
		case opRet:
			return k, steps, nil
		case opEqual:
			hit = acc == k
		case opAbove:
			hit = acc > k
		case opReach:
			hit = acc >= k
		case 0x45: // BPF_JMP | BPF_JSET | BPF_K, libseccomp's
			hit = acc&k != 0
		default:
			return 0, steps, fmt.Errorf("opcode %#x", op)
		}
		if hit {
			pc += jt
		} else {
			pc += jf
		}
	}
}

// oracle is a profile sorted by the calls it names.
type oracle struct {
	p     *specs.LinuxSeccomp
	archs []archInfo
	names []map[uint32][]string
}

func newOracle(t testing.TB, goarch string, p *specs.LinuxSeccomp) oracle {
	t.Helper()
	archs, err := archsFor(goarch, p.Architectures)
	if err != nil {
		t.Fatal(err)
	}
	o := oracle{p: p, archs: archs}
	for _, a := range archs {
		names := map[uint32][]string{}
		for n, numbers := range a.numbers {
			for _, nr := range numbers {
				names[nr] = append(names[nr], n)
			}
		}
		o.names = append(o.names, names)
	}
	return o
}

// naive says what a profile means, written from the package comment alone.
func (o oracle) naive(d data) uint32 {
	for i, a := range o.archs {
		nr := d.nr
		if a.audit != d.arch || (a.audit == auditX86_64 && (nr >= x32Bit) != (a.mask != 0)) {
			continue
		}
		return o.call(i, nr-a.mask, d)
	}
	return retKillProcess
}

func (o oracle) call(i int, nr uint32, d data) uint32 {
	var rules []specs.LinuxSyscall
	for _, s := range o.p.Syscalls {
		for _, name := range o.names[i][nr] {
			if slices.Contains(s.Names, name) {
				rules = append(rules, s)
			}
		}
	}
	for _, conditional := range []bool{false, true} {
		for _, s := range rules {
			if (len(s.Args) > 0) == conditional && holds(s.Args, d) {
				act, _ := action(s.Action, s.ErrnoRet)
				return act
			}
		}
	}
	def, _ := action(o.p.DefaultAction, o.p.DefaultErrnoRet)
	if len(rules) == 0 && nr > o.newest(i) && def != retAllow && def != retLog {
		return retErrno | enosys
	}
	return def
}

// newest is past every number when the profile names nothing at all.
func (o oracle) newest(i int) (n uint32) {
	if len(o.p.Syscalls) == 0 {
		return 0xffffffff
	}
	for _, s := range o.p.Syscalls {
		for _, name := range s.Names {
			for _, nr := range o.archs[i].numbers[name] {
				if nr < armPrivate {
					n = max(n, nr)
				}
			}
		}
	}
	return n
}

func holds(args []specs.LinuxSeccompArg, d data) bool {
	all, some := true, false
	seen := map[uint]int{}
	for _, c := range args {
		v, ok := d.args[c.Index], false
		switch c.Op {
		case specs.OpNotEqual:
			ok = v != c.Value
		case specs.OpLessThan:
			ok = v < c.Value
		case specs.OpLessEqual:
			ok = v <= c.Value
		case specs.OpEqualTo:
			ok = v == c.Value
		case specs.OpGreaterEqual:
			ok = v >= c.Value
		case specs.OpGreaterThan:
			ok = v > c.Value
		case specs.OpMaskedEqual:
			ok = v&c.Value == c.ValueTwo
		}
		all, some = all && ok, some || ok
		seen[c.Index]++
	}
	for _, n := range seen {
		if n > 1 {
			return some
		}
	}
	return all
}

// compare runs every number of every architecture with the arguments that matter.
func compare(t testing.TB, goarch string, p *specs.LinuxSeccomp) Filter {
	t.Helper()
	f, err := compileFor(goarch, p, Kernel{})
	if err != nil {
		t.Fatal(err)
	}
	numbers := []uint32{0xffffffff, 0x7fffffff, x32Bit + 1000, 0x0f0000, 983041, 983045, 983050}
	for nr := range uint32(560) {
		numbers = append(numbers, nr, nr|x32Bit)
	}
	o := newOracle(t, goarch, p)
	for _, arch := range []uint32{auditX86_64, auditX86, auditAArch64, auditARM, 0, 0xffffffff} {
		for _, nr := range numbers {
			for _, v := range o.values(arch, nr) {
				d := data{nr: nr, arch: arch, args: [6]uint64{v, v, v, v, v, v}}
				got, _, err := execute(f.Program, d)
				if want := o.naive(d); got != want || err != nil {
					t.Fatalf("%+v: %#x, want %#x, %v", d, got, want, err)
				}
			}
		}
	}
	return f
}

// values are the arguments around what the rules of one call compare with.
func (o oracle) values(arch, nr uint32) []uint64 {
	values := []uint64{0}
	for i, a := range o.archs {
		if a.audit != arch {
			continue
		}
		for _, s := range o.p.Syscalls {
			for _, c := range s.Args {
				if !slices.ContainsFunc(o.names[i][nr&^a.mask], func(n string) bool { return slices.Contains(s.Names, n) }) {
					continue
				}
				for _, v := range []uint64{c.Value, c.ValueTwo} {
					values = append(values, v, v-1, v+1, v^1<<32, v|1<<63)
				}
			}
		}
	}
	slices.Sort(values)
	return slices.Compact(values)
}

func arg(i uint, op specs.LinuxSeccompOperator, v ...uint64) specs.LinuxSeccompArg {
	a := specs.LinuxSeccompArg{Index: i, Op: op, Value: v[0]}
	if len(v) > 1 {
		a.ValueTwo = v[1]
	}
	return a
}

func call(act specs.LinuxSeccompAction, name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: strings.Split(name, ","), Action: act, Args: args}
}

func TestCompileMeansTheProfile(t *testing.T) {
	all := []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM}
	profiles := map[string]*specs.LinuxSeccomp{
		"allow all":      {DefaultAction: specs.ActAllow},
		"deny all":       {DefaultAction: specs.ActErrno, DefaultErrnoRet: ptr(uint(99)), Architectures: all},
		"native only":    {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "read,write,no_such_call")}},
		"without x32":    {DefaultAction: specs.ActLog, Architectures: all[:2], Syscalls: []specs.LinuxSyscall{call(specs.ActKillProcess, "ptrace")}},
		"actions":        {DefaultAction: specs.ActTrap, Architectures: all, Syscalls: []specs.LinuxSyscall{call(specs.ActKill, "read"), call(specs.ActKillThread, "write"), call(specs.ActTrace, "open"), call(specs.ActLog, "close"), call(specs.ActNotify, "mount"), {Names: []string{"stat"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(5))}}},
		"first of equal": {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{call(specs.ActLog, "read"), call(specs.ActAllow, "read")}},
		"plain beats conditional": {DefaultAction: specs.ActErrno, Architectures: all, Syscalls: []specs.LinuxSyscall{
			call(specs.ActLog, "socket", arg(0, specs.OpEqualTo, 40)), call(specs.ActAllow, "socket")}},
		"order of conditions": {DefaultAction: specs.ActErrno, Architectures: all, Syscalls: []specs.LinuxSyscall{
			call(specs.ActLog, "socket", arg(0, specs.OpGreaterThan, 40)), call(specs.ActAllow, "socket", arg(0, specs.OpGreaterThan, 10))}},
		"several arguments": {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "openat2", arg(0, specs.OpGreaterEqual, 5), arg(5, specs.OpLessEqual, 1<<40+7), arg(2, specs.OpNotEqual, 9))}},
		"argument named twice": {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "personality", arg(0, specs.OpEqualTo, 1), arg(0, specs.OpEqualTo, 8), arg(1, specs.OpEqualTo, 77))}},
		"table grows": {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "file_setattr")}},
		"arm private": {DefaultAction: specs.ActErrno, Architectures: all, Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "read,set_tls")}},
	}
	for _, op := range operators {
		v := []uint64{1<<33 + 5, 5}
		profiles["operator "+string(op)] = &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: all,
			Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "clone", arg(0, op, v...))}}
	}
	for name, p := range profiles {
		for _, goarch := range []string{"amd64", "arm64"} {
			t.Run(name+"/"+goarch, func(t *testing.T) { compare(t, goarch, p) })
		}
	}
}

// TestLongProgram needs stepping stones: hundreds of calls with conditions.
func TestLongProgram(t *testing.T) {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86, specs.ArchX32}}
	archs, err := archsFor("amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range slices.Sorted(mapsKeys(archs[0].numbers)) {
		if n++; n%2 == 0 {
			p.Syscalls = append(p.Syscalls, call(specs.ActAllow, name, arg(uint(n%6), specs.OpEqualTo, uint64(n%3))))
		}
	}
	f := compare(t, "amd64", p)
	if f.Instructions() < 3*maxHop {
		t.Errorf("only %d instructions", f.Instructions())
	}
	for range 20 {
		p.Syscalls = append(p.Syscalls, p.Syscalls[:150]...)
	}
	if _, err := compileFor("amd64", p, Kernel{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a program that is too long: %v", err)
	}
}

func mapsKeys(m map[string][]uint32) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	base := func(f func(*specs.LinuxSeccomp)) *specs.LinuxSeccomp {
		p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{call(specs.ActAllow, "read")}}
		f(p)
		return p
	}
	tests := map[string]struct {
		p    *specs.LinuxSeccomp
		text string
	}{
		"nil":               {nil, "missing"},
		"default action":    {base(func(p *specs.LinuxSeccomp) { p.DefaultAction = "X" }), "defaultAction"},
		"notify by default": {base(func(p *specs.LinuxSeccomp) { p.DefaultAction = specs.ActNotify }), "defaultAction"},
		"notify for write":  {base(func(p *specs.LinuxSeccomp) { p.Syscalls[0] = call(specs.ActNotify, "write") }), "syscalls[0]"},
		"action":            {base(func(p *specs.LinuxSeccomp) { p.Syscalls[0].Action = "ALLOW" }), "syscalls[0]"},
		"errno too large":   {base(func(p *specs.LinuxSeccomp) { p.DefaultErrnoRet = ptr(uint(5000)) }), "errnoRet"},
		"errno for allow":   {base(func(p *specs.LinuxSeccomp) { p.Syscalls[0].ErrnoRet = ptr(uint(1)) }), "errnoRet"},
		"no names":          {base(func(p *specs.LinuxSeccomp) { p.Syscalls[0].Names = nil }), "names"},
		"index":             {base(func(p *specs.LinuxSeccomp) { p.Syscalls[0].Args = []specs.LinuxSeccompArg{arg(6, specs.OpEqualTo, 1)} }), "index 6"},
		"operator":          {base(func(p *specs.LinuxSeccomp) { p.Syscalls[0].Args = []specs.LinuxSeccompArg{arg(0, "EQ", 1)} }), "operator"},
		"architecture":      {base(func(p *specs.LinuxSeccomp) { p.Architectures = []specs.Arch{"amd64"} }), "architectures"},
		"flag":              {base(func(p *specs.LinuxSeccomp) { p.Flags = []specs.LinuxSeccompFlag{"X"} }), "flags"},
		"killable, no listener": {base(func(p *specs.LinuxSeccomp) {
			p.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv}
		}), "flags"},
	}
	for name, tt := range tests {
		if _, err := compileFor("amd64", tt.p, Kernel{}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := compileFor("riscv64", base(func(*specs.LinuxSeccomp) {}), Kernel{}); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
}

func TestFlags(t *testing.T) {
	f, err := compileFor("amd64", &specs.LinuxSeccomp{DefaultAction: specs.ActErrno,
		Flags:    []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv},
		Syscalls: []specs.LinuxSyscall{call(specs.ActNotify, "mount")}}, Kernel{})
	if err != nil || f.Flags != FlagLog|FlagSpecAllow|FlagWaitKillableRecv|FlagNewListener {
		t.Errorf("%#x, %v", f.Flags, err)
	}
}

// TestTables looks at numbers everyone knows, so that a renumbered table shows.
func TestTables(t *testing.T) {
	want := map[specs.Arch]map[string]uint32{
		specs.ArchX86_64:  {"read": 0, "execve": 59, "clone3": 435, "open_tree_attr": 467, "file_setattr": 469},
		specs.ArchX86:     {"read": 3, "socketcall": 102, "clone3": 435, "file_getattr": 468},
		specs.ArchX32:     {"read": 0, "clone3": 435},
		specs.ArchAARCH64: {"read": 63, "openat": 56, "clone3": 435, "file_getattr": 468},
		specs.ArchARM:     {"read": 3, "clone3": 435},
	}
	for _, goarch := range []string{"amd64", "arm64"} {
		archs, err := archsFor(goarch, knownArchs())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range archs {
			for name, nr := range want[a.name] {
				if !slices.Contains(a.numbers[name], nr) {
					t.Errorf("%s %s: %v, want %d", a.name, name, a.numbers[name], nr)
				}
			}
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(uint64(1), uint8(3))
	f.Add(uint64(77), uint8(200))
	f.Fuzz(func(t *testing.T, seed uint64, size uint8) {
		r := rand.New(rand.NewPCG(seed, 1))
		archs, err := archsFor("amd64", nil)
		if err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(mapsKeys(archs[0].numbers))
		acts := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActTrap, specs.ActLog, specs.ActKill}
		p := &specs.LinuxSeccomp{DefaultAction: acts[r.IntN(len(acts))], Architectures: knownArchs()}
		for range size {
			s := call(acts[r.IntN(len(acts))], names[r.IntN(len(names))])
			for range r.IntN(4) {
				s.Args = append(s.Args, arg(uint(r.IntN(6)), operators[r.IntN(len(operators))], r.Uint64()>>r.IntN(64), r.Uint64()>>r.IntN(64)))
			}
			p.Syscalls = append(p.Syscalls, s)
		}
		prog, err := compileFor("amd64", p, Kernel{})
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		o := newOracle(t, "amd64", p)
		for range 300 {
			d := data{nr: uint32(r.IntN(480)), arch: auditX86_64}
			if r.IntN(2) == 0 && size > 0 {
				s := p.Syscalls[r.IntN(len(p.Syscalls))]
				d.nr = archs[0].numbers[s.Names[0]][0]
				for _, a := range s.Args {
					d.args[a.Index] = []uint64{a.Value, a.ValueTwo, a.Value + 1, r.Uint64()}[r.IntN(4)]
				}
			}
			if got, _, err := execute(prog.Program, d); err != nil || got != o.naive(d) {
				t.Fatalf("%+v: %#x, %v", d, got, err)
			}
		}
	})
}
