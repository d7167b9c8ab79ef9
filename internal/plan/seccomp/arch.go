package seccomp

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// Audit architectures and masks (include/uapi/linux/audit.h, asm/unistd.h).
const (
	auditX86_64  = 0xc000003e
	auditX86     = 0x40000003
	auditAArch64 = 0xc00000b7
	auditARM     = 0x40000028
	x32Bit       = 0x40000000
	armPrivate   = 0x000f0000 // 32-bit arm's own calls, far above the common numbers
)

// archInfo is one system call table. x86_64 and x32 share an audit value and differ
// in a bit of the number.
type archInfo struct {
	name    specs.Arch
	audit   uint32
	mask    uint32
	numbers map[string][]uint32
}

// latest are system calls that are younger than the tables (Linux 6.17).
// New ones have the same number on every architecture here.
func latest() map[string]uint32 {
	return map[string]uint32{"file_getattr": 468, "file_setattr": 469}
}

// archsFor returns the host's table and those of the wanted architectures that the
// host's kernel can run; others cannot make a system call here at all.
func archsFor(goarch string, wanted []specs.Arch) ([]archInfo, error) {
	for _, w := range wanted {
		if !slices.Contains(knownArchs(), w) {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("architectures: %.80q is unknown", w))
		}
	}
	type lazy struct {
		name        specs.Arch
		audit, mask uint32
		calls       string
	}
	var all []lazy
	switch goarch {
	case "amd64":
		all = []lazy{
			{specs.ArchX86_64, auditX86_64, 0, callsX86_64},
			{specs.ArchX86, auditX86, 0, callsI386},
			{specs.ArchX32, auditX86_64, x32Bit, callsX32},
		}
	case "arm64":
		all = []lazy{
			{specs.ArchAARCH64, auditAArch64, 0, callsAArch64},
			{specs.ArchARM, auditARM, 0, callsARM},
		}
	default:
		return nil, fault.New(fault.Unsupported, "no system call tables for "+goarch)
	}
	var out []archInfo
	for i, a := range all {
		if i == 0 || slices.Contains(wanted, a.name) {
			out = append(out, archInfo{a.name, a.audit, a.mask, table(a.calls)})
		}
	}
	return out, nil
}

// table reads a list of calls, "NAME NUMBER", which is a text because a map would be made at
// every start of a program. x32 has names with two numbers, the common one and its own; a
// rule speaks of both.
func table(calls string) map[string][]uint32 {
	numbers := make(map[string][]uint32, strings.Count(calls, "\n"))
	for line := range strings.SplitSeq(calls, "\n") {
		name, number, _ := strings.Cut(line, " ")
		if nr, err := strconv.ParseUint(number, 10, 32); err == nil {
			numbers[name] = append(numbers[name], uint32(nr))
		}
	}
	for name, nr := range latest() {
		if numbers[name] == nil {
			numbers[name] = []uint32{nr}
		}
	}
	return numbers
}

func knownArchs() []specs.Arch {
	return []specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64,
		specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64,
		specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64,
		specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
	}
}
