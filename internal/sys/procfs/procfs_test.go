package procfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

func open1(t *testing.T, path string) Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("0123456789", 20_000)
	for name, text := range map[string]string{"empty": "", "short": "a\x00b\n", "long": long} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		d := open1(t, dir)
		var b bytes.Buffer
		b.WriteString("what was there before")
		for _, read := range []func(string, *bytes.Buffer) error{d.Read, d.ReadShort} {
			if err := read(name, &b); err != nil || b.String() != text {
				t.Errorf("%s: %d bytes, %v, want %d", name, b.Len(), err, len(text))
			}
		}
	}
	var b bytes.Buffer
	if err := open1(t, dir).Read("none", &b); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
	if _, err := open1(t, dir).Dir("short"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a file as a directory: %v", err)
	}
}

// TestShortIsWhole compares the files that are read in one piece with what the standard
// library reads.
func TestShortIsWhole(t *testing.T) {
	proc := open1(t, "/proc/"+strconv.Itoa(os.Getppid()))
	for _, name := range []string{"cmdline", "cgroup"} {
		var b bytes.Buffer
		if err := proc.ReadShort(name, &b); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/" + name)
		if err != nil || !bytes.Equal(want, b.Bytes()) {
			t.Errorf("%s: %q, want %q, %v", name, b.Bytes(), want, err)
		}
	}
}

// TestLimit reads a file that is longer than anybody may make a reader take.
func TestLimit(t *testing.T) {
	name := filepath.Join(t.TempDir(), "endless")
	if err := os.Truncate(mustCreate(t, name), Limit+10_000); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := open1(t, filepath.Dir(name)).Read("endless", &b); err != nil || b.Len() < Limit || b.Len() > 2*Limit {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
}

func mustCreate(t *testing.T, name string) string {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestFIFO does not wait for a writer that never comes.
func TestFIFO(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		var b bytes.Buffer
		d, err := Open(dir)
		if err == nil {
			defer d.Close()
			err = d.Read("fifo", &b)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("waits for somebody to write")
	}
}

// TestEnded keeps a directory of a process that ends: what is read below it is never
// another process's.
func TestEnded(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := open1(t, "/proc/"+strconv.Itoa(cmd.Process.Pid))
	if link, err := d.Link("exe"); err != nil || !filepath.IsAbs(link) {
		t.Errorf("%q, %v", link, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	var b bytes.Buffer
	if err := d.Read("status", &b); !fault.Is(err, fault.NotFound) {
		t.Errorf("status: %v", err)
	}
	if _, err := d.Link("exe"); !fault.Is(err, fault.NotFound) {
		t.Errorf("exe: %v", err)
	}
}
