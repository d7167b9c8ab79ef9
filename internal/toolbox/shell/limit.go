package shell

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/interp"
)

// resource is what ulimit calls a letter: value times unit is the kernel's.
type resource struct {
	letter byte
	number int
	unit   uint64
	name   string // in /proc/PID/limits
}

func resources() []resource {
	return []resource{
		{'c', unix.RLIMIT_CORE, 512, "Max core file size"},
		{'d', unix.RLIMIT_DATA, 1024, "Max data size"},
		{'f', unix.RLIMIT_FSIZE, 512, "Max file size"},
		{'l', unix.RLIMIT_MEMLOCK, 1024, "Max locked memory"},
		{'m', unix.RLIMIT_RSS, 1024, "Max resident set"},
		{'n', unix.RLIMIT_NOFILE, 1, "Max open files"},
		{'q', unix.RLIMIT_MSGQUEUE, 1, "Max msgqueue size"},
		{'s', unix.RLIMIT_STACK, 1024, "Max stack size"},
		{'t', unix.RLIMIT_CPU, 1, "Max cpu time"},
		{'u', unix.RLIMIT_NPROC, 1, "Max processes"},
		{'v', unix.RLIMIT_AS, 1024, "Max address space"},
	}
}

// limitFlags are ulimit's options.
type limitFlags struct {
	hard, soft, all bool
	letter          byte
}

func parseLimitFlags(args []string) (f limitFlags, rest []string) {
	f.letter = 'f'
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		for _, b := range []byte(args[0][1:]) {
			switch b {
			case 'H':
				f.hard = true
			case 'S':
				f.soft = true
			case 'a':
				f.all = true
			default:
				f.letter = b
			}
		}
		args = args[1:]
	}
	return f, args
}

// ulimit shows or sets one limit, or with -a shows all.
func ulimit(hc interp.HandlerContext, args []string) error {
	f, args := parseLimitFlags(args)
	limits, err := ownLimits()
	if err != nil {
		return err
	}
	for _, r := range resources() {
		if !f.all && r.letter != f.letter {
			continue
		}
		l := limits[r.name]
		if len(args) > 0 {
			return r.set(args[0], l, f)
		}
		label := ""
		if f.all {
			label = fmt.Sprintf("-%c %-20s ", r.letter, r.name)
		}
		shown := l.Cur
		if f.hard {
			shown = l.Max
		}
		fmt.Fprintln(hc.Stdout, label+r.show(shown))
	}
	return nil
}

func (r resource) show(v uint64) string {
	if v == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(v/r.unit, 10)
}

// set changes the soft and the hard limit, or the one that the flags name.
func (r resource) set(text string, l unix.Rlimit, f limitFlags) error {
	v := uint64(unix.RLIM_INFINITY)
	if text != "unlimited" {
		n, err := strconv.ParseUint(text, 10, 54)
		if err != nil {
			return fmt.Errorf("%q is no number", text)
		}
		v = n * r.unit
	}
	if f.soft || !f.hard {
		l.Cur = v
	}
	if f.hard || !f.soft {
		l.Max = v
	}
	return unix.Setrlimit(r.number, &l)
}

// ownLimits reads the limits this process was started with. It cannot ask for its
// own: Go's start-up raises the soft limit of open files (os/rlimit.go) and gives
// the old one only to children. So it looks at a child that has not started yet.
func ownLimits() (map[string]unix.Rlimit, error) {
	runtime.LockOSThread() // a tracee belongs to the thread that started it
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return readLimits("/proc/self/limits") // no ptrace here: nearly right
	}
	var ws unix.WaitStatus
	_, err := unix.Wait4(cmd.Process.Pid, &ws, 0, nil)
	limits, readErr := readLimits(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // its status is our kill
	if err != nil {
		return nil, err
	}
	return limits, readErr
}

func readLimits(path string) (map[string]unix.Rlimit, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	limits := map[string]unix.Rlimit{}
	for line := range strings.Lines(string(text)) {
		if len(line) < 26 {
			continue
		}
		if f := strings.Fields(line[26:]); len(f) >= 2 {
			limits[strings.TrimSpace(line[:26])] = unix.Rlimit{Cur: parseLimit(f[0]), Max: parseLimit(f[1])}
		}
	}
	return limits, nil
}

func parseLimit(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return unix.RLIM_INFINITY
	}
	return n
}
