package cgroup

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Any stands for every major or minor number.
const Any = -1

// Access is a set of what a device rule speaks of.
type Access uint8

// The bits, as eBPF's bpf_cgroup_dev_ctx numbers them.
const (
	Mknod Access = 1 << iota
	Read
	Wr
	all = Mknod | Read | Wr
)

// DeviceRule is one OCI device rule, checked. Type is 'a', 'b' or 'c'; of an 'a'
// rule only Allow counts.
type DeviceRule struct {
	Allow        bool
	Type         byte
	Major, Minor int64
	Access       Access
}

// DeviceRules checks OCI device rules. In their order the last rule that speaks
// of a device and an access decides; what no rule speaks of is denied.
func DeviceRules(rules []specs.LinuxDeviceCgroup) ([]DeviceRule, error) {
	out := make([]DeviceRule, 0, len(rules))
	for i, r := range rules {
		d, err := deviceRule(r, fmt.Sprintf("devices[%d]", i))
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func deviceRule(r specs.LinuxDeviceCgroup, field string) (DeviceRule, error) {
	d := DeviceRule{Allow: r.Allow, Major: Any, Minor: Any, Access: all}
	switch r.Type {
	case "", "a":
		d.Type = 'a'
		return d, nil
	case "b", "c":
		d.Type = r.Type[0]
	case "u": // unbuffered: mknod(1)'s other word for c
		d.Type = 'c'
	default:
		return d, invalid(field, "type %q is none of a, b, c", r.Type)
	}
	if r.Major != nil {
		d.Major = *r.Major
	}
	if r.Minor != nil {
		d.Minor = *r.Minor
	}
	if !numbers(d.Major, 0xfff) || !numbers(d.Minor, 0xfffff) {
		return d, invalid(field, "no device is %d:%d", d.Major, d.Minor)
	}
	if r.Access == "" {
		return d, nil
	}
	var ok bool
	if d.Access, ok = parseAccess(r.Access); !ok {
		return d, invalid(field, "access %q holds more than r, w, m", r.Access)
	}
	return d, nil
}

// numbers tells whether n is Any or a number up to most.
func numbers(n, most int64) bool { return n >= Any && n <= most }

// parseAccess reads letters as of "rwm", in any order; ok is whether it knew all.
func parseAccess(s string) (a Access, ok bool) {
	ok = true
	for _, c := range s {
		bit := map[rune]Access{'m': Mknod, 'r': Read, 'w': Wr}[c]
		ok = ok && bit != 0
		a |= bit
	}
	return a, ok
}

type deviceKey struct {
	kind         byte
	major, minor int64
}

// Allowlist is what a v1 devices cgroup can hold: everything but exceptions, or
// nothing but exceptions. It is also what devices.list shows, except that the
// kernel hides the exceptions to "everything".
type Allowlist struct {
	All        bool
	exceptions map[deviceKey]Access
	order      []deviceKey
}

// NewAllowlist folds rules in their order the way the v1 kernel does. The kernel
// ignores an exception that is no exact counterpart of an earlier one, so a
// rule that takes part of an allowed range away is refused, not ignored.
func NewAllowlist(rules []DeviceRule) (*Allowlist, error) {
	l := &Allowlist{exceptions: map[deviceKey]Access{}}
	for i, r := range rules {
		if r.Type == 'a' {
			*l = Allowlist{All: r.Allow, exceptions: map[deviceKey]Access{}}
			continue
		}
		k := deviceKey{r.Type, r.Major, r.Minor}
		if r.Allow != l.All {
			l.add(k, r.Access)
			continue
		}
		l.exceptions[k] &^= r.Access
		for other, a := range l.exceptions {
			if other != k && a&r.Access != 0 && overlap(other, k) {
				return nil, unsupported(fmt.Sprintf("devices[%d]", i), "cgroup v1 cannot except a part of an earlier rule's range")
			}
		}
	}
	return l, nil
}

func (l *Allowlist) add(k deviceKey, a Access) {
	if _, ok := l.exceptions[k]; !ok {
		l.order = append(l.order, k)
	}
	l.exceptions[k] |= a
}

func overlap(a, b deviceKey) bool {
	same := func(x, y int64) bool { return x == y || x == Any || y == Any }
	return a.kind == b.kind && same(a.major, b.major) && same(a.minor, b.minor)
}

// ParseDevicesList reads the text of a v1 devices.list.
func ParseDevicesList(text string) (*Allowlist, error) {
	l := &Allowlist{exceptions: map[deviceKey]Access{}}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 || len(f[0]) != 1 {
			return nil, fmt.Errorf("devices.list: line %q", line)
		}
		if f[0] == "a" {
			l.All = true
			continue
		}
		major, minor, ok := strings.Cut(f[1], ":")
		ma, err1 := number(major)
		mi, err2 := number(minor)
		if !ok || err1 != nil || err2 != nil || (f[0] != "b" && f[0] != "c") {
			return nil, fmt.Errorf("devices.list: line %q", line)
		}
		a, _ := parseAccess(f[2]) // a letter of a later kernel says nothing to us
		l.add(deviceKey{f[0][0], ma, mi}, a)
	}
	return l, nil
}

func number(s string) (int64, error) {
	if s == "*" {
		return Any, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return int64(n), err
}

// Transition returns the v1 writes that lead from a group's present list to l.
// Between two lists of single devices no access that both allow is ever
// missing: additions come first. A change of default cannot avoid a gap.
func (l *Allowlist) Transition(from *Allowlist) []Write {
	var out []Write
	write := func(allow bool, text string) {
		w := Write{Controller: "devices", File: "devices.deny", Value: text, Field: "devices"}
		if allow {
			w.File = "devices.allow"
		}
		out = append(out, w)
	}
	have := from.exceptions
	if l.All || from.All {
		write(l.All, "a")
		have = nil
	}
	for _, k := range l.order {
		if a := l.exceptions[k] &^ have[k]; a != 0 {
			write(!l.All, k.text(a))
		}
	}
	if have == nil {
		return out
	}
	for _, k := range from.order {
		if a := have[k] &^ l.exceptions[k]; a != 0 {
			write(l.All, k.text(a))
		}
	}
	return out
}

func (k deviceKey) text(a Access) string {
	num := func(n int64) string {
		if n == Any {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	return string(k.kind) + " " + num(k.major) + ":" + num(k.minor) + " " + a.String()
}

// String returns the access as devices.list shows it, like "rwm".
func (a Access) String() string {
	s := ""
	for _, b := range []struct {
		bit Access
		c   string
	}{{Read, "r"}, {Wr, "w"}, {Mknod, "m"}} {
		if a&b.bit != 0 {
			s += b.c
		}
	}
	return s
}

// OCI returns the list as device rules that begin with the default.
func (l *Allowlist) OCI() []specs.LinuxDeviceCgroup {
	out := []specs.LinuxDeviceCgroup{{Allow: l.All, Type: "a", Access: "rwm"}}
	for _, k := range l.order {
		if a := l.exceptions[k]; a != 0 {
			r := specs.LinuxDeviceCgroup{Allow: !l.All, Type: string(k.kind), Access: a.String()}
			if k.major != Any {
				r.Major = &k.major
			}
			if k.minor != Any {
				r.Minor = &k.minor
			}
			out = append(out, r)
		}
	}
	return out
}

// Opcodes of the eBPF machine (Linux Documentation/bpf/standardization).
const (
	opLoad32    = 0x61 // dst = *(u32 *)(src + off)
	opAndImm    = 0x54 // 32-bit dst &= imm
	opRshImm    = 0x74 // 32-bit dst >>= imm
	opMovReg    = 0xbc // 32-bit dst = src
	opMovImm    = 0xb4 // 32-bit dst = imm
	opJneImm    = 0x56 // 32-bit if dst != imm goto +off
	opJeqImm    = 0x16
	opExit      = 0x95
	insnSize    = 8
	maxDeviceBP = 4096 // the verifier's limit for the unprivileged; ours is far below
)

// DeviceProgram compiles rules into a BPF_PROG_TYPE_CGROUP_DEVICE program, as
// the kernel takes it: 8-byte instructions, little-endian. It walks the rules
// from the last to the first and lets each decide the access bits it speaks of
// that no later one has decided, so that any order of rules means on v2 what the
// runtime spec says, partial denials included.
func DeviceProgram(rules []DeviceRule) ([]byte, error) {
	// Registers: r1 context, r2 type, r3 access bits still undecided, r4 major, r5 minor, r6 scratch.
	code := program{}
	code.op(insn{code: opLoad32, dst: 2, src: 1})
	code.op(insn{code: opMovReg, dst: 3, src: 2})
	code.op(insn{code: opAndImm, dst: 2, imm: 0xffff})
	code.op(insn{code: opRshImm, dst: 3, imm: 16})
	code.op(insn{code: opLoad32, dst: 4, src: 1, off: 4})
	code.op(insn{code: opLoad32, dst: 5, src: 1, off: 8})
	rest := false // what no rule decides
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].Type == 'a' { // decides all that is left; the verifier refuses code that is never reached
			rest = rules[i].Allow
			break
		}
		code.rule(rules[i])
	}
	code.exit(rest)
	if len(code)/insnSize > maxDeviceBP {
		return nil, invalid("devices", "%d rules do not fit into one program", len(rules))
	}
	return code, nil
}

type program []byte

// insn is a struct bpf_insn.
type insn struct {
	code, dst, src byte
	off            int16
	imm            int32
}

func (p *program) op(i insn) {
	b := append(*p, i.code, i.dst|i.src<<4)
	b = binary.LittleEndian.AppendUint16(b, uint16(i.off))
	*p = binary.LittleEndian.AppendUint32(b, uint32(i.imm))
}

func (p *program) exit(allow bool) {
	n := int32(0)
	if allow {
		n = 1
	}
	p.op(insn{code: opMovImm, imm: n})
	p.op(insn{code: opExit})
}

func (p *program) rule(r DeviceRule) {
	kind := int32(2) // BPF_DEVCG_DEV_CHAR
	if r.Type == 'b' {
		kind = 1
	}
	var body program
	if r.Allow {
		body.op(insn{code: opAndImm, dst: 3, imm: int32(all &^ r.Access)})
		body.op(insn{code: opJneImm, dst: 3, off: 2})
		body.exit(true)
	} else {
		body.op(insn{code: opMovReg, dst: 6, src: 3})
		body.op(insn{code: opAndImm, dst: 6, imm: int32(r.Access)})
		body.op(insn{code: opJeqImm, dst: 6, off: 2})
		body.exit(false)
	}
	type test struct {
		reg byte
		imm int64
	}
	tests := []test{{2, int64(kind)}}
	if r.Major != Any {
		tests = append(tests, test{4, r.Major})
	}
	if r.Minor != Any {
		tests = append(tests, test{5, r.Minor})
	}
	for i, t := range tests {
		skip := len(tests) - 1 - i + len(body)/insnSize
		p.op(insn{code: opJneImm, dst: t.reg, off: int16(skip), imm: int32(t.imm)})
	}
	*p = append(*p, body...)
}
