// Package task is what a runtime without a daemon needs of processes that it finds again
// by what it wrote down: whether one is still the same, signals that reach no other, its
// end, its threads, its descriptors. It keeps no state. Descriptors that it returns are
// close-on-exec and the caller's.
package task

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/sys/nofile"
)

// ID names one process for as long as the machine runs: numbers are used again, but not
// with the same start time.
type ID struct {
	Pid int `json:"pid"`
	// Started is in clock ticks since boot, field 22 of /proc/PID/stat.
	Started uint64 `json:"started"`
}

// Find returns the identity of the process that has this number now, and whether it runs; a
// zombie does not. NotFound if none has the number.
func Find(pid int) (id ID, lives bool, err error) {
	name := "/proc/" + strconv.Itoa(pid) + "/stat"
	text, err := os.ReadFile(name)
	if err != nil {
		return ID{}, false, fault.Wrap(fault.NotFound, name, err)
	}
	s, err := parseStat(string(text))
	return ID{pid, s.started}, err == nil && s.lives(), err
}

// Lives tells whether the process still runs.
func (t ID) Lives() bool {
	now, lives, _ := Find(t.Pid)
	return lives && now == t
}

// stat is what is of interest in /proc/PID/stat.
type stat struct {
	state   byte // the first thread's
	threads string
	started uint64
}

// lives tells a zombie from a process that goes on without its first thread: see Ask.
func (s stat) lives() bool {
	others := s.threads != "1" && s.threads != "0" // 0: it is being reaped
	return s.state != 'Z' && s.state != 'X' || others
}

// parseStat reads the contents of the file. The command's name is in parentheses and may hold
// anything, parentheses too: what counts begins after the last one.
func parseStat(text string) (s stat, err error) {
	_, rest, _ := cutLast(text, ") ")
	f := strings.Fields(rest)
	if len(f) < 20 || len(f[0]) != 1 {
		return s, fault.New(fault.Internal, "stat: is not as proc_pid_stat(5) says")
	}
	started, err := strconv.ParseUint(f[19], 10, 64)
	return stat{f[0][0], f[17], started}, err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// Open returns a pidfd of the process. NotFound when it has ended.
func (t ID) Open() (*os.File, error) {
	n, err := unix.PidfdOpen(t.Pid, 0)
	if err != nil {
		return nil, failed("pidfd_open "+strconv.Itoa(t.Pid), err)
	}
	f := os.NewFile(uintptr(n), "pidfd")
	if !t.Lives() { // if it does, its was the number when that was opened
		f.Close()
		return nil, fault.New(fault.NotFound, "process already finished")
	}
	return f, nil
}

// Signal sends a signal to the process and to no other.
func (t ID) Signal(sig int) error {
	f, err := t.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	return failed("signal "+strconv.Itoa(sig), unix.PidfdSendSignal(int(f.Fd()), unix.Signal(sig), nil, 0))
}

// AwaitEnd returns when the process of a pidfd has ended, or after millis milliseconds.
func AwaitEnd(pidfd *os.File, millis int) (ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, millis)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, failed("poll", err)
	}
}

// Take returns a copy of a descriptor of another process.
func Take(pidfd *os.File, n int) (*os.File, error) {
	got, err := unix.PidfdGetfd(int(pidfd.Fd()), n, 0)
	if err != nil {
		return nil, failed("pidfd_getfd", err)
	}
	return os.NewFile(uintptr(got), "taken"), nil
}

// Wait waits for a child and returns its exit status, 128 and the signal's number if one
// ended it.
func Wait(pid int) (code int, err error) {
	var s unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &s, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, failed("wait4", err)
		}
		break
	}
	if s.Signaled() {
		return 128 + int(s.Signal()), nil
	}
	return s.ExitStatus(), nil
}

// Kill kills a child and reaps it.
func Kill(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)    // gone already is as good
	_, _ = unix.Wait4(pid, nil, 0, nil) // somebody else's is not ours to wait for
}

// Range maps Size ids from Inside on to those from Outside on.
type Range struct{ Inside, Outside, Size uint32 }

// Map gives a process's new user namespace its mapping (user_namespaces(7)).
func Map(pid int, users, groups []Range) error {
	for _, m := range []struct {
		file   string
		ranges []Range
	}{{"uid_map", users}, {"gid_map", groups}} {
		var text strings.Builder
		for _, r := range m.ranges {
			fmt.Fprintln(&text, r.Inside, r.Outside, r.Size)
		}
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, m.file), []byte(text.String()), 0); err != nil {
			return fault.Wrap(fault.Denied, "user namespace: "+m.file, err)
		}
	}
	return nil
}

// Score sets a process's oom_score_adj from outside.
func Score(pid, score int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(score)), 0)
}

// FIFO makes a named pipe for this user alone and opens it for both ends, so that the
// file never blocks to open and never ends.
func FIFO(name string) (*os.File, error) {
	if err := unix.Mkfifo(name, 0o600); err != nil {
		return nil, failed("mkfifo "+name, err)
	}
	return openFIFO(name, unix.O_RDWR)
}

// Pipe makes a pipe whose ends block, as a process that is not Go's wants them.
func Pipe() (read, write *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, failed("pipe", err)
	}
	return os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe"), nil
}

// Knock writes a byte to a FIFO that somebody waits at. NotFound when nobody does.
func Knock(name string) error {
	f, err := openFIFO(name, unix.O_WRONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write([]byte{0})
	return err
}

// Listen opens a FIFO for reading without waiting for a writer. Reads wait.
func Listen(name string) (*os.File, error) {
	n, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, failed("open "+name, err)
	}
	return os.NewFile(uintptr(n), name), failed("fcntl "+name, unix.SetNonblock(n, false))
}

func openFIFO(name string, flags int) (*os.File, error) {
	n, err := unix.Open(name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, failed("open "+name, err)
	}
	return os.NewFile(uintptr(n), name), nil
}

// Inherited tells whether a descriptor is one that this process was started with, see
// CloseInherited.
func Inherited(n int) bool {
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// CloseInherited closes the descriptors from n on that this process was started with: what
// whoever started it left open by mistake must not come into a container
// (CVE-2024-21626). Those that this process opens itself are close-on-exec, which tells
// them apart; Go may have some already, for a standard stream that does not block.
func CloseInherited(n int) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < n {
			continue
		}
		if Inherited(fd) {
			_ = unix.Close(fd) // not ours, nothing of it is lost
		}
	}
	return nil
}

// Bounding returns the capabilities that this process can give away, and the number of
// the kernel's last one.
func Bounding() (set uint64, last int) {
	for n := range 64 {
		held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		if err != nil { // EINVAL: there is no such capability
			break
		}
		set |= uint64(held) << n
		last = n
	}
	return set, last
}

// HostNull tells whether a descriptor is a null device, whose owner is nobody's to change.
func HostNull(n int) bool {
	var st unix.Stat_t
	null := unix.Mkdev(1, 3)
	return unix.Fstat(n, &st) != nil || st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == null
}

// Owner is the user of a descriptor's file.
func Owner(n int) (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstat(n, &st)
	return st.Uid, failed("fstat", err)
}

// SetSize tells a terminal its size.
func SetSize(tty *os.File, rows, columns uint16) error {
	return failed("ioctl TIOCSWINSZ", unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
}

// PlainOutput stops a terminal from writing a carriage return before every newline: what
// comes out of it goes through another terminal, or none.
func PlainOutput(tty *os.File) error {
	t, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return failed("ioctl TCGETS", err)
	}
	t.Oflag &^= unix.ONLCR
	return failed("ioctl TCSETS", unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, t))
}

// Size asks a terminal for its size.
func Size(tty *os.File) (rows, columns uint16, err error) {
	w, err := unix.IoctlGetWinsize(int(tty.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, failed("ioctl TIOCGWINSZ", err)
	}
	return w.Row, w.Col, nil
}

// Files returns the limits of open files that this process was started with.
func Files() (soft, hard uint64) { return nofile.Started() }

func failed(call string, err error) error {
	kind := fault.Internal
	switch {
	case err == nil, errors.Is(err, unix.Errno(0)):
		return nil
	case errors.Is(err, unix.ESRCH):
		return fault.New(fault.NotFound, "process already finished")
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO):
		kind = fault.NotFound
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		kind = fault.Denied
	case errors.Is(err, unix.EINVAL):
		kind = fault.Invalid
	}
	return fault.Wrap(kind, call, err)
}
