package task

import (
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// monitorSlack is how much later than asked for the monitor may wake, in nanoseconds.
const monitorSlack = 1_000_000

// CalmMonitor lets the monitor thread of Go's runtime, which looks every 20 µs whether
// another has been in a system call for too long, do so every millisecond. In a process of
// some milliseconds that is a seventh of all CPU time. What it costs: who waits for a
// processor because a system call takes long gets it a millisecond later.
//
// Threads that the monitor makes inherit its timer slack, and so would processes that these
// start. The calling goroutine is locked to its thread, which has been there before: what
// it starts has the timer slack that this process was started with.
func CalmMonitor() error {
	runtime.LockOSThread()
	tid, err := monitor()
	if err != nil {
		return err
	}
	name := "/proc/" + tid + "/timerslack_ns" // prctl(2) is for one's own thread alone
	n, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed("open "+name, err)
	}
	defer unix.Close(n)
	_, err = unix.Write(n, strconv.AppendInt(nil, monitorSlack, 10))
	return failed("write "+name, err)
}

// monitor is the second of this process's threads: the kernel lists them in the order of
// their making, and Go's runtime makes its monitor before it does anything else.
func monitor() (tid string, err error) {
	const dir = "/proc/self/task"
	n, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", failed("open "+dir, err)
	}
	defer unix.Close(n)
	buf := make([]byte, 512)
	got, err := unix.Getdents(n, buf)
	if err != nil {
		return "", failed("getdents "+dir, err)
	}
	_, _, tids := unix.ParseDirent(buf[:got], 2, nil)
	if len(tids) < 2 {
		return "", fault.New(fault.Internal, dir+": one thread alone")
	}
	return tids[1], nil
}
