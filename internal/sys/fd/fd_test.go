package fd

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var cs [2]*net.UnixConn
	for i, n := range fds {
		f := os.NewFile(uintptr(n), "pair")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		cs[i] = c.(*net.UnixConn)
		t.Cleanup(func() { _ = c.Close() })
	}
	return cs[0], cs[1]
}

func open(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

func TestSendReceive(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := Send(a, []byte("head"), []*os.File{w}); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	got := make([]byte, 4)
	files, err := Receive(b, got, 1)
	if err != nil || string(got) != "head" || len(files) != 1 {
		t.Fatalf("got %q, %d files, %v", got, len(files), err)
	}
	if _, err := files[0].WriteString("x"); err != nil {
		t.Fatal(err)
	}
	CloseAll(files)
	if all, err := io.ReadAll(r); err != nil || string(all) != "x" {
		t.Errorf("got %q, %v", all, err)
	}
}

func TestReceiveRefusesTooManyFiles(t *testing.T) {
	for _, n := range []int{2, MaxPass, 50} {
		a, b := pair(t)
		before := open(t)
		fds := make([]int, n)
		for i := range fds {
			fds[i] = 0
		}
		if _, _, err := a.WriteMsgUnix([]byte("head"), unix.UnixRights(fds...), nil); err != nil {
			t.Fatal(err)
		}
		files, err := Receive(b, make([]byte, 4), 1)
		if !fault.Is(err, fault.Invalid) || files != nil {
			t.Errorf("%d files: got %v, %v", n, files, err)
		}
		if after := open(t); after != before {
			t.Errorf("%d files: %d descriptors before, %d after", n, before, after)
		}
	}
}

func TestReceiveEnds(t *testing.T) {
	a, b := pair(t)
	if _, err := a.Write([]byte("he")); err != nil {
		t.Fatal(err)
	}
	_ = a.Close()
	if _, err := Receive(b, make([]byte, 4), 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if _, err := Receive(b, make([]byte, 4), 0); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestPeerUID(t *testing.T) {
	a, _ := pair(t)
	if uid, err := PeerUID(a); err != nil || int(uid) != os.Geteuid() {
		t.Errorf("got %d, %v", uid, err)
	}
}

func TestInRoot(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "etc"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("inside"), 0o644))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "abs")))
	must(os.Symlink("../../../../etc/passwd", filepath.Join(dir, "up")))
	must(os.Symlink("loop", filepath.Join(dir, "loop")))
	root, err := os.Open(dir)
	must(err)
	defer root.Close()
	for _, name := range []string{"abs", "up", "/etc/passwd", "../../etc/passwd", "/../etc/passwd"} {
		f, err := InRoot(root, name, true)
		must(err)
		if b, err := os.ReadFile(Path(f)); err != nil || string(b) != "inside" {
			t.Errorf("%s: got %q, %v", name, b, err)
		}
		_ = f.Close()
	}
	link, err := InRoot(root, "abs", false)
	must(err)
	defer link.Close()
	if to, err := ReadLink(link); err != nil || to != "/etc/passwd" {
		t.Errorf("got %q, %v", to, err)
	}
	for name, want := range map[string]fault.Kind{
		"none": fault.NotFound, "loop": fault.Invalid, "abs/": fault.NotFound, "/etc/passwd/.": fault.NotFound,
	} {
		if _, err := InRoot(root, name, true); !fault.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
}

func TestInRootRefusesMagicLinks(t *testing.T) {
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	if _, err := InRoot(proc, "self/root/etc", true); err == nil {
		t.Error("followed /proc/self/root")
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(path, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path, false); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
	_ = first.Close()
	second, err := Lock(path, true)
	if err != nil {
		t.Fatal(err)
	}
	_ = second.Close()
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	w, err := NewWatch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Wait(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for {
			if err := w.Wait(); err != nil {
				done <- err
				return
			}
		}
	}()
	_ = w.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestDevice(t *testing.T) {
	major, minor, err := Device("/dev/null")
	if err != nil || major != 1 || minor != 3 {
		t.Errorf("got %d:%d, %v", major, minor, err)
	}
	if _, _, err := Device("/"); err == nil {
		t.Error("a directory is no device")
	}
}
