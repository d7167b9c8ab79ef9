package spawn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nest is memory of this process in which children begin, and, with their program, all
// that they are given of it: the memory of Go's runtime is withheld from them. It need
// not be copied then, nor be parted with page by page afterwards; and a child that does
// not have it cannot give it away. A Nest is for one goroutine at a time and lasts as
// long as the process. The zero Nest is none: its children begin as those of
// Program.Start.
type Nest struct{ *nest }

type nest struct {
	program Program
	// local is where the child's thread-local storage ends: Go's, an empty one.
	local [2]uint64
	_     [4]uint64
	slack uint64
	stack [8192]byte
}

// programEnd is what the code and the variables of a program lie below, unless it is
// linked to be loaded anywhere; above are the runtime's memory and the stacks.
const programEnd = 1 << 32

// nests says whether this process can have any: the memory of C's runtime holds what the
// kernel looks into whenever a child is interrupted (rseq(2)).
func nests() bool { return !raced && !withC && exitHandler() < programEnd }

// NewNest makes a nest and withholds the memory that this process has now from all its
// children to come, but not the program itself: only the Nest may start them from then on.
// It is the zero one in a process that is watched by the race detector or may have C in it.
// slack is the timer slack that children have, in nanoseconds; 0 is that of the thread that
// starts them.
func NewNest(slack uint64) (Nest, syscall.Errno) {
	if !nests() {
		return Nest{}, 0
	}
	// ENOMEM says that there are gaps.
	_, _, e := syscall.RawSyscall(syscall.SYS_MADVISE, programEnd, 1<<62, unix.MADV_DONTFORK)
	if e != 0 && e != syscall.ENOMEM {
		return Nest{}, e
	}
	mem, err := syscall.Mmap(-1, 0, int(unsafe.Sizeof(nest{})), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANONYMOUS)
	if err != nil {
		return Nest{}, errno(err)
	}
	n := Nest{(*nest)(unsafe.Pointer(unsafe.SliceData(mem)))}
	n.slack = slack
	return n, 0
}

// Start is Program.Start in the nest. The program must have been loaded after the nest
// was made.
func (n Nest) Start(p *Program, files []int) (Child, syscall.Errno) {
	if n.nest == nil {
		return p.Start(files)
	}
	n.program = *p
	n.program.slack = uintptr(n.slack)
	args := cloneArgs{
		flags: unix.CLONE_SETTLS, tls: uint64(uintptr(unsafe.Pointer(&n.local[len(n.local)-1]))),
		stack: uint64(uintptr(unsafe.Pointer(&n.stack))), stackSize: uint64(len(n.stack)),
	}
	return n.program.start(files, &args)
}
