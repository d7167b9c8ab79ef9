package trace

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// program refuses reboot(2) and lets all else pass.
var program = []Instruction{{0x20, 0, 0, 0}, {0x15, 0, 1, 169}, {0x06, 0, 0, 0x00050001}, {0x06, 0, 0, 0x7fff0000}}

// TestFiltered is the process that is looked at: it loads its filters, says so and waits
// for its input to end.
func TestFiltered(t *testing.T) {
	if os.Getenv("CAROB_TRACE_FILTERED") == "" {
		return // only what TestFilters starts
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	load(t, program)
	load(t, program[3:])
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdin.Read(make([]byte, 1)) // ends with the parent's end of the pipe
}

func load(t *testing.T, p []Instruction) {
	t.Helper()
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: (*unix.SockFilter)(unsafe.Pointer(&p[0]))}
	const tsync = 1 // SECCOMP_FILTER_FLAG_TSYNC: all threads of the runtime
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, tsync, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		t.Fatal(errno)
	}
}

func TestFilters(t *testing.T) {
	testenv.Require(t, testenv.Root)
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestFiltered$")
	cmd.Env = append(os.Environ(), "CAROB_TRACE_FILTERED=1")
	// It dies with the thread that starts it, which must not become a tracer and end.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	for range 20 { // it goes on in between
		got, err := Filters(cmd.Process.Pid)
		if fault.Is(err, fault.Denied) || fault.Is(err, fault.Unsupported) {
			t.Skipf("needs to be allowed to read filters: %v", err)
		}
		if err != nil || len(got) != 2 || !slices.Equal(got[0], program) || !slices.Equal(got[1], program[3:]) {
			t.Fatalf("%v, %v", got, err)
		}
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the process did not go on as before: %v", err)
	}
}

// TestNoFilters looks at a process without filters, which goes on sleeping, then at one
// that has ended, and at one that is stopped already.
func TestNoFilters(t *testing.T) {
	testenv.Require(t, testenv.Root)
	cmd := exec.Command("sleep", "0.5")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if got, err := Filters(cmd.Process.Pid); len(got) != 0 || err != nil && !fault.Is(err, fault.Unsupported) {
		t.Errorf("%v, %v", got, err)
	}
	if err := cmd.Wait(); err != nil || time.Since(start) > 5*time.Second {
		t.Errorf("sleep was disturbed: %v, %v", err, time.Since(start))
	}
	if _, err := Filters(cmd.Process.Pid); !fault.Is(err, fault.NotFound) {
		t.Errorf("of one that has ended: %v", err)
	}
}
