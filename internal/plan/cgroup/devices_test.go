package cgroup

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

func dev(allow bool, kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	return specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: &major, Minor: &minor, Access: access}
}

// decide is the meaning of rules, one access bit at a time.
func decide(rules []DeviceRule, kind byte, major, minor int64, want Access) bool {
	for bit := Mknod; bit <= Wr; bit <<= 1 {
		allowed := false
		for _, r := range rules {
			if r.Type == 'a' || (r.Type == kind && (r.Major == Any || r.Major == major) && (r.Minor == Any || r.Minor == minor) && r.Access&bit != 0) {
				allowed = r.Allow
			}
		}
		if want&bit != 0 && !allowed {
			return false
		}
	}
	return true
}

// run interprets the eBPF that DeviceProgram emits.
func run(code []byte, kind byte, major, minor int64, want Access) (bool, error) {
	word := map[byte]uint32{'b': 1, 'c': 2}[kind] | uint32(want)<<16
	ctx := map[int16]uint32{0: word, 4: uint32(major), 8: uint32(minor)}
	var reg [11]uint32
	for pc := 0; pc >= 0 && pc*8+8 <= len(code); pc++ {
		i := code[pc*8:]
		dst, src := i[1]&15, i[1]>>4
		off, imm := int16(binary.LittleEndian.Uint16(i[2:])), binary.LittleEndian.Uint32(i[4:])
		switch i[0] {
		case opLoad32:
			reg[dst] = ctx[off]
		case opAndImm:
			reg[dst] &= imm
		case opRshImm:
			reg[dst] >>= imm
		case opMovReg:
			reg[dst] = reg[src]
		case opMovImm:
			reg[dst] = imm
		case opJneImm:
			if reg[dst] != imm {
				pc += int(off)
			}
		case opJeqImm:
			if reg[dst] == imm {
				pc += int(off)
			}
		case opExit:
			return reg[0] == 1, nil
		default:
			return false, fmt.Errorf("opcode %#x", i[0])
		}
	}
	return false, fmt.Errorf("runs out of the program")
}

func FuzzDevices(f *testing.F) {
	f.Add(uint64(1), uint8(5))
	f.Add(uint64(9), uint8(40))
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		r := rand.New(rand.NewPCG(seed, 2))
		var oci []specs.LinuxDeviceCgroup
		for range n % 50 {
			d := dev(r.IntN(2) == 0, []string{"a", "b", "c", "c"}[r.IntN(4)], int64(r.IntN(4))-1, int64(r.IntN(4))-1, []string{"r", "w", "m", "rw", "rwm", ""}[r.IntN(6)])
			oci = append(oci, d)
		}
		rules, err := DeviceRules(oci)
		if err != nil {
			t.Fatal(err)
		}
		code, err := DeviceProgram(rules)
		if err != nil {
			t.Fatal(err)
		}
		list, listErr := NewAllowlist(rules)
		if listErr != nil && !fault.Is(listErr, fault.Unsupported) {
			t.Fatal(listErr)
		}
		for range 200 {
			kind, major, minor, want := "bc"[r.IntN(2)], int64(r.IntN(4)), int64(r.IntN(4)), Access(1+r.IntN(7))
			expect := decide(rules, kind, major, minor, want)
			if got, err := run(code, kind, major, minor, want); got != expect || err != nil {
				t.Fatalf("%+v: %c %d:%d %v: program says %v, %v", rules, kind, major, minor, want, got, err)
			}
			if listErr == nil && list.permits(kind, major, minor, want) != expect {
				t.Fatalf("%+v: %c %d:%d %v: list says %v", rules, kind, major, minor, want, !expect)
			}
		}
	})
}

// permits is what the v1 kernel does with a list: an exception must cover the whole
// access to allow it, any part of it to deny it.
func (l *Allowlist) permits(kind byte, major, minor int64, want Access) bool {
	var covered Access
	for k, a := range l.exceptions {
		if overlap(k, deviceKey{kind, major, minor}) {
			covered |= a & want
		}
	}
	if l.All {
		return covered == 0
	}
	return covered == want
}

func TestTransition(t *testing.T) {
	base := []specs.LinuxDeviceCgroup{{Type: "a"}, dev(true, "c", 1, 3, "rwm"), dev(true, "c", 1, 5, "r")}
	tests := map[string]struct {
		from string
		to   []specs.LinuxDeviceCgroup
		want []string
	}{
		"fresh": {"a *:* rwm\n", base, []string{"devices.deny=a", "devices.allow=c 1:3 rwm", "devices.allow=c 1:5 r"}},
		"same":  {"c 1:3 rwm\nc 1:5 r\n", base, nil},
		"additions first": {"c 1:3 rw\nb *:* m\n", base,
			[]string{"devices.allow=c 1:3 m", "devices.allow=c 1:5 r", "devices.deny=b *:* m"}},
		"everything": {"c 1:3 rw\n", []specs.LinuxDeviceCgroup{{Allow: true, Type: "a"}, dev(false, "b", 8, 0, "w")},
			[]string{"devices.allow=a", "devices.deny=b 8:0 w"}},
	}
	for name, tt := range tests {
		from, err := ParseDevicesList(tt.from)
		if err != nil {
			t.Fatal(err)
		}
		rules, err := DeviceRules(tt.to)
		if err != nil {
			t.Fatal(err)
		}
		to, err := NewAllowlist(rules)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, text(to.Transition(from))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestDevicesRefuses(t *testing.T) {
	for name, d := range map[string]specs.LinuxDeviceCgroup{
		"type": dev(true, "p", 1, 1, "r"), "access": dev(true, "c", 1, 1, "rx"), "major": dev(true, "c", 1<<20, 1, "r"), "minor": dev(true, "c", 1, -2, "r"),
	} {
		if _, err := DeviceRules([]specs.LinuxDeviceCgroup{d}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "devices[0]") {
			t.Errorf("%s: %v", name, err)
		}
	}
	rules, err := DeviceRules([]specs.LinuxDeviceCgroup{{Type: "a"}, {Allow: true, Type: "c"}, dev(false, "c", 1, 3, "w")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewAllowlist(rules); !fault.Is(err, fault.Unsupported) {
		t.Errorf("a hole in a range on v1: %v", err)
	}
}

func TestDevicesOCI(t *testing.T) {
	l, err := ParseDevicesList("c 1:3 rwm\nb *:* m\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []specs.LinuxDeviceCgroup{{Type: "a", Access: "rwm"}, dev(true, "c", 1, 3, "rwm"), {Allow: true, Type: "b", Access: "m"}}
	if d := cmp.Diff(want, l.OCI()); d != "" {
		t.Error(d)
	}
}

func FuzzParseDevicesList(f *testing.F) {
	f.Add("a *:* rwm\n")
	f.Add("c 1:3 rwm\nb *:5 m\n")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseDevicesList(s)
		if err != nil {
			return
		}
		if len((&Allowlist{All: l.All, exceptions: l.exceptions, order: l.order}).Transition(l)) > 1 {
			t.Errorf("a list differs from itself: %q", s)
		}
	})
}
