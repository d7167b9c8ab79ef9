package toolbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
)

// tinyExit returns a whole ELF program, some 130 bytes, that does nothing but
// exit(code); nil on an architecture it has no instructions for. It is /bin/true
// and /bin/false of the image: a Go program needs 1.3 MiB and 1.5 ms before main,
// and a container's smallest memory limit and shortest start should be limited by
// the container.
func tinyExit(code byte) []byte {
	var machine elf.Machine
	var text []byte
	switch runtime.GOARCH {
	case "amd64": // mov eax, SYS_exit; mov edi, code; syscall
		machine, text = elf.EM_X86_64, []byte{0xb8, 60, 0, 0, 0, 0xbf, code, 0, 0, 0, 0x0f, 0x05}
	case "arm64": // mov x0, code; mov x8, SYS_exit; svc 0
		machine = elf.EM_AARCH64
		for _, op := range []uint32{0xd2800000 | uint32(code)<<5, 0xd2800008 | 93<<5, 0xd4000001} {
			text = binary.LittleEndian.AppendUint32(text, op)
		}
	default:
		return nil
	}
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(text))
	var b bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
			Entry: base + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
		},
		elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base,
			Filesz: size, Memsz: size, Align: 0x10000, // the largest page arm64 has
		},
		text,
	} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			return nil // fixed-size values into memory: cannot be
		}
	}
	return b.Bytes()
}
