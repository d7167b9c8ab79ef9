// Package exe keeps this program's own file from being written through /proc/PID/exe of what
// it starts (CVE-2019-5736): the program executes itself anew from a detached read-only
// clone of the mount that the file lies on, which nobody can make writable again.
//
// Entry does that before Go's runtime starts, where it costs two tenths of a millisecond
// instead of a runtime's whole start; a program has it if it is linked with
// -E carob/internal/sys/exe.Entry. Protect asks whether it has happened, and does it
// where it has not: in a program that was linked without, and where the mount cannot be
// cloned. The package keeps no state.
//
// Entry also gives the process a timer slack of 1 ms. The monitor thread of Go's runtime looks
// every 20 µs whether another has been in a system call for too long; in a process of some
// milliseconds that is a seventh of all CPU time. Who waits for a processor because a system
// call takes long gets it a millisecond later.
package exe
