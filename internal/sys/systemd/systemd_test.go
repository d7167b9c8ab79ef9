package systemd

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/testenv"
)

const (
	id    = "00000000000000000000000000000000000000000000000000000000007e5700"
	unit  = "/carobtest.slice/carob-" + id + ".scope"
	group = unit + "/" + id
)

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

// TestStartScope puts a process into a scope, and another into the next of that name:
// who was in the first is asked to end.
func TestStartScope(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Systemd, testenv.Cgroup2)
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", "carobtest.slice").Run() }) // it is there if a scope was
	var before *exec.Cmd
	for range 3 {
		c := sleeper(t)
		if err := StartScope(t.Context(), group, c.Process.Pid); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", c.Process.Pid)); strings.TrimSpace(string(got)) != "0::"+unit {
			t.Errorf("the process is in %s, %v", got, err)
		}
		if before != nil {
			if err := before.Wait(); err == nil || before.ProcessState.String() != "signal: terminated" {
				t.Errorf("the process before: %v", before.ProcessState)
			}
		}
		before = c
	}
	_ = before.Process.Kill()
	_ = before.Wait()
	for end := time.Now().Add(testenv.Patience(10 * time.Second)); ; time.Sleep(10 * time.Millisecond) {
		_, err := os.Stat("/sys/fs/cgroup" + unit)
		if os.IsNotExist(err) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("an empty scope stays: %v", err)
		}
	}
}

func TestRefused(t *testing.T) {
	if err := StartScope(t.Context(), "/carob/"+id, os.Getpid()); !fault.Is(err, fault.Invalid) {
		t.Errorf("not in a scope: %v", err)
	}
	if _, err := os.Stat("/run/systemd/private"); err == nil {
		return // the rest is of hosts without
	}
	if err := StartScope(t.Context(), group, os.Getpid()); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "systemd does not run here") {
		t.Errorf("without systemd: %v", err)
	}
}
