package spawn

import (
	"encoding/binary"
	"math"
	"syscall"
)

// Numbers of pseudo calls: things between clone and exec that are not one system
// call. They are far above any system call number.
const (
	callFork   = 1<<16 + iota // args: clone flags, cgroup or -1; goes on in the child, the middle process reports its pid and ends
	callInit                  // forks; goes on in the child, this process becomes its reaping init
	callPause                 // sleeps for good
	callAwait                 // args: file; goes on when a byte has been read from it
	callTell                  // args: a number; reports it
	callReady                 // args: file; ends the report pipe, what follows is reported there
	callMortal                // signals end this process, up to execve
	callEnter                 // args: pidfd, namespaces; joins those of a process
)

// Arg is one argument of a call: an immediate value, the address of data, a file
// or the result of an earlier call.
type Arg struct {
	kind  uint8
	value uint64
}

const (
	kindImm uint8 = iota
	kindData
	kindFile
	kindReg
)

// Imm is an argument with this value.
func Imm[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{kindImm, uint64(v)}
}

// File is an argument that is the n-th file the runner has, see Files.
func File(n int) Arg { return Arg{kindFile, uint64(n)} }

// The first entries of the runner's file table. The files passed with the program
// follow at FirstFile. One that does not exist is -1.
const (
	FileStdin = iota
	FileStdout
	FileStderr
	FileTarget
	FirstFile
)

// maxRegs is the number of results a program can keep.
const maxRegs = 128

// Builder makes a program. The zero value is ready. Methods never fail; Image
// reports what went wrong.
type Builder struct {
	// CloneFlags are the namespaces the child is cloned into.
	CloneFlags uint64

	group  uint64 // the file, counted from 1, that the child is cloned into
	calls  []call
	relocs []reloc
	data   []byte
	steps  []string
	files  int
	regs   int
	free   []uint64
	far    bool // more is to be left out than a call can say
	strs   map[string]uint64
}

type call struct {
	nr              uint32
	step            uint16
	out             uint8
	skipOK, skipErr uint8
	allowed         uint8
	kinds           [6]uint8
	allow           [4]uint16
	args            [6]uint64
}

type reloc struct{ at, to uint64 }

// CloneInto lets the child begin in a cgroup: file is its directory on cgroup v2, as
// CLONE_INTO_CGROUP wants it (Linux 5.7).
func (b *Builder) CloneInto(file Arg) {
	b.group = file.value + 1
	b.files = max(b.files, int(b.group))
}

// Step names what the following calls are for; a failure is reported as the
// number of its step, which Steps turns back into the name.
func (b *Builder) Step(name string) { b.steps = append(b.steps, name) }

// Steps returns the names given to Step, in order.
func (b *Builder) Steps() []string { return b.steps }

// Str is an argument that is the address of s as a C string. A NUL in s cuts it:
// callers validate.
func (b *Builder) Str(s string) Arg {
	if off, ok := b.strs[s]; ok {
		return Arg{kindData, off}
	}
	off := uint64(len(b.data))
	b.data = append(append(b.data, s...), 0)
	if b.strs == nil {
		b.strs = make(map[string]uint64)
	}
	b.strs[s] = off
	return Arg{kindData, off}
}

// Bytes is an argument that is the address of p, 8-byte aligned. The program can
// write there.
func (b *Builder) Bytes(p []byte) Arg {
	b.align()
	off := uint64(len(b.data))
	b.data = append(b.data, p...)
	return Arg{kindData, off}
}

// Words is an argument that is the address of an array of 64-bit values, the
// addresses of the data among them filled in when the program is loaded.
func (b *Builder) Words(words ...Arg) Arg {
	b.align()
	off := uint64(len(b.data))
	b.data = append(b.data, make([]byte, 8*len(words))...)
	for i, w := range words {
		at := off + uint64(8*i)
		if w.kind == kindData {
			b.relocs = append(b.relocs, reloc{at, w.value})
			continue
		}
		binary.NativeEndian.PutUint64(b.data[at:], w.value)
	}
	return Arg{kindData, off}
}

// Strings is an argument that is a NULL-terminated array of C strings, as execve
// takes it.
func (b *Builder) Strings(s []string) Arg {
	words := make([]Arg, 0, len(s)+1)
	for _, v := range s {
		words = append(words, b.Str(v))
	}
	return b.Words(append(words, Imm(0))...)
}

func (b *Builder) align() {
	for len(b.data)%8 != 0 {
		b.data = append(b.data, 0)
	}
}

// Ref is a call that has been added; its methods say what is special about it.
type Ref struct {
	b *Builder
	i int
}

// usualCalls is what a container's program has; growing to it would take as much again.
const usualCalls = 256

// Call adds a system call with up to six arguments.
func (b *Builder) Call(nr uintptr, args ...Arg) Ref {
	c := call{nr: uint32(nr)}
	if n := len(b.steps); n > 0 {
		c.step = uint16(n - 1)
	}
	for i, a := range args[:min(len(args), 6)] {
		c.kinds[i], c.args[i] = a.kind, a.value
		if a.kind == kindFile {
			b.files = max(b.files, int(a.value)+1)
		}
	}
	if b.calls == nil {
		b.calls = make([]call, 0, usualCalls)
	}
	b.calls = append(b.calls, c)
	return Ref{b, len(b.calls) - 1}
}

// Fork splits the child: the program goes on in a new child of the runner, cloned
// with the given flags, and the process so far reports the pid and ends. It is how
// a process comes to be in a PID namespace that its maker had to join first.
func (b *Builder) Fork(flags uint64) Ref { return b.Call(callFork, Imm(flags), Imm(-1)) }

// ForkInto is Fork into a cgroup, see CloneInto. It fails with EACCES where the process
// may not move processes between its own group and that one, with ENOENT where either is
// outside of its cgroup namespace.
func (b *Builder) ForkInto(flags uint64, file Arg) Ref { return b.Call(callFork, Imm(flags), file) }

// Forks is how many pids the program reports: one for each Fork that is come to.
func (b *Builder) Forks() (n int) {
	for _, c := range b.calls {
		if c.nr == callFork {
			n++
		}
	}
	return n
}

// Init splits the child: the program goes on in a new process, and the process so
// far stays as its parent: it forwards signals, reaps, and ends as its child ends.
func (b *Builder) Init() Ref { return b.Call(callInit) }

// Pause ends the program by sleeping until a signal kills the process.
func (b *Builder) Pause() Ref { return b.Call(callPause) }

// Await goes on when a byte can be read from the file; its end is EPIPE: whoever was
// to give the byte has gone.
func (b *Builder) Await(file Arg) Ref { return b.Call(callAwait, file) }

// Tell reports a number, usually a result.
func (b *Builder) Tell(n Arg) Ref { return b.Call(callTell, n) }

// Ready closes the report pipe, so that its reader sees the end as after an execve, and
// lets a later failure be reported to the file instead.
func (b *Builder) Ready(file Arg) Ref { return b.Call(callReady, file) }

// Mortal makes signals that end a process end this one, with 128 and their number, up to
// execve: the first process of a pid namespace is shielded from those it has no handler
// for (pid_namespaces(7)).
func Mortal(b *Builder) Ref { return b.Call(callMortal) }

// Enter joins namespaces, flags of setns(2), of a process, by its pidfd. It waits while the
// process executes a program from another thread than its first, which is gone then, and
// its namespaces with it, until the other one has taken its place: with a busy machine and
// many threads, milliseconds.
func Enter(b *Builder, pidfd Arg, namespaces uint64) Ref {
	return b.Call(callEnter, pidfd, Imm(namespaces))
}

// Allow lets the call fail with any of these errnos (at most four): the program
// goes on behind it.
func (r Ref) Allow(errnos ...uintptr) Ref {
	c := &r.b.calls[r.i]
	for i, e := range errnos[:min(len(errnos), len(c.allow))] {
		c.allow[i] = uint16(e)
	}
	c.allowed = uint8(min(len(errnos), len(c.allow)))
	return r
}

// anyErrno allows every errno.
const anyErrno = 0xff

// AllowAny lets the call fail in any way.
func (r Ref) AllowAny() Ref {
	r.b.calls[r.i].allowed = anyErrno
	return r
}

// SkipOnOK leaves out the next n calls, at most 255, when this one succeeds.
func (r Ref) SkipOnOK(n int) Ref {
	r.b.calls[r.i].skipOK = r.skip(n)
	return r
}

// SkipOnErr leaves out the next n calls, at most 255, when this one fails in an allowed way.
func (r Ref) SkipOnErr(n int) Ref {
	r.b.calls[r.i].skipErr = r.skip(n)
	return r
}

func (r Ref) skip(n int) uint8 {
	r.b.far = r.b.far || n > math.MaxUint8
	return uint8(n)
}

// Result keeps the call's result and is an argument for later calls. A call that
// failed in an allowed way leaves -1.
func (r Ref) Result() Arg {
	var reg uint64
	if n := len(r.b.free); n > 0 {
		reg, r.b.free = r.b.free[n-1], r.b.free[:n-1]
	} else {
		r.b.regs++
		reg = uint64(r.b.regs)
	}
	r.b.calls[r.i].out = uint8(min(reg, maxRegs))
	return Arg{kindReg, reg}
}

// Since is how many calls have been added since this one, for SkipOnOK and SkipOnErr.
func (r Ref) Since() int { return len(r.b.calls) - 1 - r.i }

// Into keeps the call's result in the place of an earlier one that is still in use.
func (r Ref) Into(result Arg) { r.b.calls[r.i].out = uint8(min(result.value, maxRegs)) }

// Close adds close(2) of a result, which must not be used afterwards.
func (b *Builder) Close(result Arg) Ref {
	if result.kind == kindReg {
		b.free = append(b.free, result.value)
	}
	return b.Call(syscall.SYS_CLOSE, result)
}
