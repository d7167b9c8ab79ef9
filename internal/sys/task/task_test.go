package task

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/testenv"
)

func TestParseStat(t *testing.T) {
	tail := " S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0"
	for name, command := range map[string]string{"plain": "(sh)", "hostile": "(a) R 1 ) (b)"} {
		if s, err := parseStat("12 " + command + tail); s != (stat{'S', "1", 777}) || err != nil {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1", "1 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 x 0"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("1 (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseStat(text) }) // must not panic
}

// TestIdentity: a process is found again, and a number that has another start time, or
// none, is not it.
func TestIdentity(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, lives, err := Find(cmd.Process.Pid)
	if err != nil || !lives || !id.Lives() {
		t.Fatalf("%+v, %v", id, err)
	}
	other := id
	other.Started++
	if other.Lives() {
		t.Error("another process with this number lives")
	}
	if _, err := other.Open(); !fault.Is(err, fault.NotFound) {
		t.Errorf("another process is opened: %v", err)
	}
	pidfd, err := id.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	if ended, err := AwaitEnd(pidfd, 1); ended || err != nil {
		t.Errorf("it has ended: %v", err)
	}
	if err := id.Signal(9); err != nil {
		t.Fatal(err)
	}
	if ended, err := AwaitEnd(pidfd, int(testenv.Patience(10*time.Second)/time.Millisecond)); !ended || err != nil {
		t.Errorf("it has not ended: %v", err)
	}
	if zombie, lives, err := Find(id.Pid); err != nil || zombie != id || lives || id.Lives() {
		t.Errorf("a zombie lives: %+v %v, %v", zombie, lives, err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it has not been killed")
	}
	if err := id.Signal(9); err == nil || err.Error() != "process already finished" {
		t.Errorf("a signal to nobody: %v", err)
	}
}

func TestFIFO(t *testing.T) {
	name := filepath.Join(t.TempDir(), "fifo")
	f, err := FIFO(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := Knock(name); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Read(make([]byte, 5)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	f.Close()
	if err := Knock(name); !fault.Is(err, fault.NotFound) {
		t.Errorf("nobody waits, and knocking gives %v", err)
	}
	if _, err := FIFO(name); err == nil {
		t.Error("made twice")
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
