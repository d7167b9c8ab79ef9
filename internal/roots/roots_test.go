package roots

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/status"
	"carob/internal/testenv"
)

func TestOpenFileStaysInsideAndTakesOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(dir+"/plain", []byte("inside"), 0o600),
		os.Symlink("/plain", dir+"/absolute"),
		os.Symlink("../../../../../../etc/passwd", dir+"/climbs"),
		os.Mkdir(dir+"/dir", 0o700),
		unix.Mkfifo(dir+"/fifo", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r := New(&Users{})
	for _, name := range []string{"plain", "/plain", "absolute", "dir/../../plain"} {
		f, err := r.OpenFile(root, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := make([]byte, 6)
		if _, err := f.Read(b); err != nil || string(b) != "inside" {
			t.Errorf("%s: read %q, %v", name, b, err)
		}
		f.Close()
	}
	for name, kind := range map[string]fault.Kind{"climbs": fault.NotFound, "nope": fault.NotFound, "dir": fault.Invalid, "fifo": fault.Invalid} {
		if f, err := r.OpenFile(root, name); !fault.Is(err, kind) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

func TestUsersAreKeptAndBounded(t *testing.T) {
	testenv.Require(t, testenv.Root)
	var u Users
	defer u.Close()
	if f, err := u.Get(status.IDMapping{}); f != nil || err != nil {
		t.Errorf("the host's: %v, %v", f, err)
	}
	inode := func(id uint32) uint64 {
		f, err := u.Get(status.IDMapping{HostID: id, Size: 10})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	if first, again := inode(100000), inode(100000); first != again {
		t.Error("the same mapping gave two namespaces")
	}
	for i := range uint32(maxUsers + 1) {
		inode(200000 + 10*i)
	}
	if n := len(u.known); n > maxUsers {
		t.Errorf("%d are kept", n)
	}
}

func TestMountRootOfARunningProcess(t *testing.T) {
	testenv.Require(t, testenv.Root)
	dir := t.TempDir()
	p := image.Rootfs{Lower: []string{"/etc"}, Upper: dir + "/u", Work: dir + "/w"}
	for _, d := range []string{p.Upper, p.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := New(&Users{})
	defer r.Close()
	m, err := r.MountRoot(t.Context(), p, status.IDMapping{HostID: 500000, Size: 65536})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	f, err := r.OpenFile(m, "passwd")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	self, err := r.OpenRoot(t.Context(), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	self.Close()
	if _, err := r.OpenRoot(t.Context(), 1<<30); !fault.Is(err, fault.NotFound) {
		t.Errorf("a process that is not there gives %v", err)
	}
}
