package task

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// TestCalmMonitor: it is the monitor, which sleeps and sleeps again, that is made to sleep
// longer, and nothing that is started afterwards.
func TestCalmMonitor(t *testing.T) {
	testenv.Require(t, testenv.Root)
	tid, err := monitor()
	if err != nil {
		t.Fatal(err)
	}
	sleeps := strconv.Itoa(unix.SYS_NANOSLEEP) + " "
	for begin := time.Now(); ; {
		now, err := os.ReadFile("/proc/self/task/" + tid + "/syscall")
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(now), sleeps) {
			break
		}
		if time.Since(begin) > testenv.Patience(5*time.Second) {
			t.Fatalf("thread %s is in %q, want nanosleep", tid, now)
		}
	}
	before, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := CalmMonitor(); err != nil {
		t.Fatal(err)
	}
	slack, err := os.ReadFile("/proc/" + tid + "/timerslack_ns")
	if err != nil || strings.TrimSpace(string(slack)) != strconv.Itoa(monitorSlack) {
		t.Errorf("the monitor's: %q, %v", slack, err)
	}
	after, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
	if err != nil || string(after) != string(before) {
		t.Errorf("a child's: %q, %v; before %q", after, err, before)
	}
}
