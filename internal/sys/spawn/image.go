package spawn

import (
	"encoding/binary"
	"math"
	"syscall"
	"unsafe"

	"carob/internal/fault"
)

const (
	magic      = 0x63726f62 // "brc" + 'o': any value that no text starts with
	version    = 2
	headerSize = 64
	callSize   = unsafe.Sizeof(call{})
	relocSize  = unsafe.Sizeof(reloc{})
	// maxImage bounds what a runner maps: arguments and environment are limited to
	// 6 MiB by the kernel (a quarter of the stack limit), the rest is small.
	maxImage = 16 << 20
)

type header struct {
	magic, version    uint32
	flags             uint64
	calls, relocs     uint32
	dataOff, dataSize uint64
	files, regs       uint32
	group             uint64
	_                 uint64
}

// Image returns the program as bytes. It is an error (fault.Invalid) when the
// program has more results, data or calls to be left out than a runner takes.
func (b *Builder) Image() ([]byte, error) {
	if b.regs > maxRegs || len(b.steps) > math.MaxUint16 || b.far {
		return nil, fault.New(fault.Invalid, "program: too many steps")
	}
	b.align()
	off := headerSize + len(b.calls)*int(callSize) + len(b.relocs)*int(relocSize)
	if off+len(b.data) > maxImage {
		return nil, fault.New(fault.Invalid, "program: arguments and environment are too large")
	}
	h := header{
		magic: magic, version: version, flags: b.CloneFlags,
		calls: uint32(len(b.calls)), relocs: uint32(len(b.relocs)),
		dataOff: uint64(off), dataSize: uint64(len(b.data)),
		files: uint32(b.files), regs: uint32(b.regs), group: b.group,
	}
	img := make([]byte, 0, off+len(b.data))
	img = append(img, unsafe.Slice((*byte)(unsafe.Pointer(&h)), headerSize)...)
	if len(b.calls) > 0 {
		img = append(img, unsafe.Slice((*byte)(unsafe.Pointer(&b.calls[0])), len(b.calls)*int(callSize))...)
	}
	if len(b.relocs) > 0 {
		img = append(img, unsafe.Slice((*byte)(unsafe.Pointer(&b.relocs[0])), len(b.relocs)*int(relocSize))...)
	}
	return append(img, b.data...), nil
}

// Program is an image mapped into memory, private to this process, ready to run
// once. Close unmaps it.
type Program struct {
	mem   []byte
	calls []call
	head  *header
	regs  [maxRegs + 1]uintptr
	pidfd int32
	stack []byte // of a child that shares memory
}

// Link maps a program for this process, where it need not travel as a file.
func Link(b *Builder) (*Program, error) {
	image, err := b.Image()
	if err != nil {
		return nil, err
	}
	mem, err := syscall.Mmap(-1, 0, len(image), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	copy(mem, image)
	p := new(Program)
	if e := p.begin(mem); e != 0 {
		return nil, e
	}
	return p, nil
}

// Load maps the program that the file holds and checks that nothing in it points
// outside of it. The file can be closed afterwards.
func Load(fd int) (*Program, syscall.Errno) {
	p := new(Program)
	if e := p.Load(fd); e != 0 {
		return nil, e
	}
	return p, 0
}

// Load is the function Load into a Program that is used again, for runners that
// may not allocate. An earlier program in it must have been closed.
func (p *Program) Load(fd int) syscall.Errno {
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return errno(err)
	}
	if st.Size < headerSize || st.Size > maxImage {
		return syscall.ENOEXEC
	}
	mem, err := syscall.Mmap(fd, 0, int(st.Size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE)
	if err != nil {
		return errno(err)
	}
	return p.begin(mem)
}

// begin takes mapped memory over.
func (p *Program) begin(mem []byte) syscall.Errno {
	*p = Program{mem: mem, head: (*header)(unsafe.Pointer(&mem[0]))}
	if !p.link() {
		p.Close()
		return syscall.ENOEXEC
	}
	return 0
}

// Close unmaps the program. A child that was started keeps its own copy.
func (p *Program) Close() { _ = syscall.Munmap(p.mem) }

// Files is how many entries of the file table the program uses.
func (p *Program) Files() int { return int(p.head.files) }

// link checks the layout and turns offsets into addresses.
func (p *Program) link() bool {
	h, size := p.head, uint64(len(p.mem))
	callsEnd := headerSize + uint64(h.calls)*uint64(callSize)
	relocsEnd := callsEnd + uint64(h.relocs)*uint64(relocSize)
	known := h.magic == magic && h.version == version && h.calls > 0 && h.regs <= maxRegs && h.group <= uint64(h.files)
	whole := relocsEnd == h.dataOff && h.dataSize <= size && h.dataOff+h.dataSize == size
	if !known || !whole {
		return false
	}
	p.calls = unsafe.Slice((*call)(unsafe.Pointer(&p.mem[headerSize])), h.calls)
	data := p.mem[h.dataOff:]
	base := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(data))))
	if !p.relocate(data, base, callsEnd) {
		return false
	}
	for i := range p.calls {
		if !p.calls[i].link(h, base) {
			return false
		}
	}
	return true
}

// relocate puts addresses into the data.
func (p *Program) relocate(data []byte, base, relocs uint64) bool {
	n := uint64(len(data))
	if p.head.relocs == 0 {
		return true
	}
	for _, r := range unsafe.Slice((*reloc)(unsafe.Pointer(&p.mem[relocs])), p.head.relocs) {
		if r.at%8 != 0 || n < 8 || r.at > n-8 || r.to >= n {
			return false
		}
		binary.NativeEndian.PutUint64(data[r.at:], base+r.to)
	}
	return true
}

func (c *call) link(h *header, base uint64) bool {
	if uint32(c.out) > h.regs {
		return false
	}
	for k, kind := range c.kinds {
		switch v := c.args[k]; {
		case kind == kindData && v < h.dataSize:
			c.kinds[k], c.args[k] = kindImm, base+v
		case kind == kindImm,
			kind == kindFile && v < uint64(h.files),
			kind == kindReg && v >= 1 && v <= uint64(h.regs):
		default:
			return false
		}
	}
	return true
}

func errno(err error) syscall.Errno {
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}
