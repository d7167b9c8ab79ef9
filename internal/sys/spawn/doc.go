// Package spawn runs a program of system calls in a child between clone(2) and
// execve(2): joining namespaces and cgroups, moving mounts, pivot_root, dropping
// privileges. The program is decided beforehand by the Builder, in another
// process if need be, and travels as a file that is mapped into memory, so that
// whoever runs it neither parses nor allocates.
//
// Why not os/exec: the child of a Go program may only make raw system calls, a
// container's start needs some eighty of them in an exact order, and a helper
// binary costs 2 ms where this costs less than one. The child is a plain fork with
// copy-on-write memory, not a vfork: a child that hangs in a mount of a dead
// server stops nobody, and shares no memory with its parent.
//
// # Format
//
// An image is the header, the calls, the relocations and the data, each 8-byte
// aligned, in the byte order of the machine:
//
//	header   magic u32 · version u32 · clone flags u64 · calls u32 · relocs u32 ·
//	         data offset u64 · data size u64 · files u32 · registers u32 · group u64
//	call     number u32 · step u16 · out u8 · skipOK u8 · skipErr u8 · allowed u8 ·
//	         kinds [6]u8 · allow [4]u16 · args [6]u64                    (72 bytes)
//	reloc    at u64 · to u64       data[at] = address of data[to]
//
// # Report
//
// The child writes 16-byte reports to a close-on-exec pipe: its pid when it forked
// itself again, and the step and errno if a call failed. End of file without a
// failure means that execve succeeded (or that the program closed the pipe).
package spawn
