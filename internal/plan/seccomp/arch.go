package seccomp

import (
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
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

// latest are system calls that are younger than the library's tables (Linux 6.17).
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
	var all []archInfo
	switch goarch {
	case "amd64":
		all = []archInfo{
			table(specs.ArchX86_64, auditX86_64, 0, arch.X86_64),
			table(specs.ArchX86, auditX86, 0, arch.I386),
			table(specs.ArchX32, auditX86_64, x32Bit, arch.X32),
		}
	case "arm64":
		all = []archInfo{
			table(specs.ArchAARCH64, auditAArch64, 0, arch.AARCH64),
			table(specs.ArchARM, auditARM, 0, arch.ARM),
		}
	default:
		return nil, fault.New(fault.Unsupported, "no system call tables for "+goarch)
	}
	out := all[:1]
	for _, a := range all[1:] {
		if slices.Contains(wanted, a.name) {
			out = append(out, a)
		}
	}
	return out, nil
}

// table inverts a number→name table. x32 has names with two numbers, the common
// one and its own; a rule speaks of both.
func table(name specs.Arch, audit, mask uint32, info *arch.Info) archInfo {
	a := archInfo{name: name, audit: audit, mask: mask, numbers: make(map[string][]uint32, len(info.SyscallNumbers))}
	for nr, n := range info.SyscallNumbers {
		a.numbers[n] = append(a.numbers[n], uint32(nr)&^mask)
	}
	for n, nr := range latest() {
		if a.numbers[n] == nil {
			a.numbers[n] = []uint32{nr}
		}
	}
	return a
}

func knownArchs() []specs.Arch {
	return []specs.Arch{
		specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64,
		specs.ArchMIPS64N32, specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64,
		specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64,
		specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB,
	}
}
