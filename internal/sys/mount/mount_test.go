package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/sys/ns"
	"carob/internal/testenv"
)

// path leads into a detached mount.
func path(f *os.File, name string) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(f.Fd())), name)
}

// mounts are those that have to do with the test's directories, which carry its name:
// others come and go on the machine.
func mounts(t *testing.T) (mine string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if strings.Contains(l, t.Name()) {
			mine += l
		}
	}
	return mine
}

// layers makes a lower layer with a file of uid 7 and an empty upper.
func layers(t *testing.T) Layers {
	t.Helper()
	dir := t.TempDir()
	l := Layers{Lower: []string{dir + "/lower"}, Upper: dir + "/upper", Work: dir + "/work"}
	for _, d := range []string{l.Lower[0], l.Upper, l.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(l.Lower[0]+"/file", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(l.Lower[0]+"/file", 7, 7); err != nil {
		t.Fatal(err)
	}
	return l
}

func owner(t *testing.T, name string) uint32 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

func TestOverlay(t *testing.T) {
	testenv.Require(t, testenv.Root)
	before := mounts(t)
	users, err := ns.NewUser(ns.Mapping{HostID: 300000, Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	tests := map[string]struct {
		users *os.File
		base  int
	}{"host's ids": {nil, 0}, "mapped": {users, 300000}}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := layers(t)
			l.Users, l.Owner = test.users, test.base
			for range 2 { // a volatile overlay must be mountable again
				m, layers, err := Overlay(l)
				for _, f := range layers {
					f.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := owner(t, path(m, "file")); got != uint32(test.base+7) {
					t.Errorf("the lower file belongs to %d", got)
				}
				if got := owner(t, path(m, "")+"/"); got != uint32(test.base) {
					t.Errorf("the root belongs to %d", got)
				}
				if err := os.WriteFile(path(m, "new"), nil, 0o600); err != nil {
					t.Error(err)
				}
				m.Close()
			}
			if _, err := os.Stat(l.Upper + "/new"); err != nil {
				t.Error(err)
			}
		})
	}
	if mounts(t) != before {
		t.Error("something stays mounted")
	}
}

func TestOverlayForOlderKernels(t *testing.T) {
	testenv.Require(t, testenv.Root)
	before := mounts(t)
	users, err := ns.NewUser(ns.Mapping{HostID: 300000, Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	l := layers(t)
	l.Users, l.Owner = users, 300000
	odd := filepath.Join(t.TempDir(), `a,b:c\d`) // what overlayfs' options give a meaning
	l.Upper, l.Work = odd+"/upper", odd+"/work"
	for i := range 126 { // as many as an image may have
		l.Lower = append(l.Lower, filepath.Join(odd, strconv.Itoa(i)))
	}
	for _, d := range append(l.Lower[1:], l.Upper, l.Work) {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(l.Lower[126]+"/deep", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := own(l); err != nil {
		t.Fatal(err)
	}
	clones, err := l.clone()
	defer func() {
		for _, c := range clones {
			c.Close()
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	m, err := overlayInside(l, clones)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if owner(t, path(m, "file")) != 300007 || owner(t, path(m, "deep")) != 300000 {
		t.Error("the lower layers are not mapped")
	}
	if err := os.WriteFile(path(m, "new"), nil, 0o600); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(l.Upper + "/new"); err != nil {
		t.Error(err)
	}
	if mounts(t) != before {
		t.Error("something stays mounted")
	}
}

func TestTheFirstThreadStaysWhereItIs(t *testing.T) {
	for range 100 {
		f, err := onThread(func() (*os.File, error) {
			if unix.Gettid() == unix.Getpid() {
				return nil, errors.New("on the process's first thread")
			}
			return nil, nil
		})
		if f != nil || err != nil {
			t.Fatal(err)
		}
	}
}

func TestDev(t *testing.T) {
	testenv.Require(t, testenv.Root)
	m, err := Dev(4000, []Device{{Path: "net/tun", Mode: unix.S_IFCHR | 0o600, Major: 10, Minor: 200, UID: 1, GID: 2}}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for name, numbers := range nodes() {
		var st unix.Stat_t
		if err := unix.Lstat(path(m, name), &st); err != nil {
			t.Fatal(err)
		}
		if st.Rdev != unix.Mkdev(numbers[0], numbers[1]) || st.Mode != unix.S_IFCHR|0o666 || st.Uid != 4000 {
			t.Errorf("%s: %+v", name, st)
		}
	}
	if owner(t, path(m, "net/tun")) != 1 {
		t.Error("net/tun has the wrong owner")
	}
	if to, err := os.Readlink(path(m, "fd")); err != nil || to != "/proc/self/fd" {
		t.Errorf("fd leads to %q, %v", to, err)
	}
}

func TestTerminal(t *testing.T) {
	testenv.Require(t, testenv.Root)
	pts, err := Pts(0, "")
	if err != nil {
		t.Fatal(err)
	}
	defer pts.Close()
	term, err := OpenTerminal(pts, 1234)
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	if owner(t, path(pts, "0")) != 1234 {
		t.Error("the terminal has the wrong owner")
	}
	if _, err := term.Slave.WriteString("hi\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	n, err := term.Master.Read(buf)
	if err != nil || string(buf[:n]) != "hi\r\n" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}

// TestTerminalsOfHighIDs: a kubelet gives pods user namespaces anywhere in 32 bits, and
// terminals belong to group 5 there.
func TestTerminalsOfHighIDs(t *testing.T) {
	testenv.Require(t, testenv.Root)
	for _, root := range []int{0, 1 << 30, 1<<31 - 5, 4050845696, 1<<32 - 65536} {
		pts, err := Pts(root, "")
		if err != nil {
			t.Errorf("root %d: %v", root, err)
			continue
		}
		defer pts.Close()
		term, err := OpenTerminal(pts, root)
		if err != nil {
			t.Fatal(err)
		}
		defer term.Close()
		var st unix.Stat_t
		if err := unix.Stat(path(pts, "0"), &st); err != nil || int(st.Gid) != root+5 || int(st.Uid) != root {
			t.Errorf("root %d: the terminal is %d:%d's, %v", root, st.Uid, st.Gid, err)
		}
	}
}

// TestKernelsWithoutFileLayers: what kernels answer that take no layer as a file.
func TestKernelsWithoutFileLayers(t *testing.T) {
	for errno, want := range map[unix.Errno]bool{
		unix.EINVAL: true, // before 6.5, which do not know the option
		unix.EBADF:  true, // until 6.12, which take a path: seen with 6.12
		unix.ENOENT: false,
	} {
		err := fmt.Errorf("root: %w", wrap("fsconfig lowerdir+", "overlay", errno))
		if got := noFileLayers(err); got != want {
			t.Errorf("%v: %t", errno, got)
		}
	}
}

func TestTmpfsAndUnmount(t *testing.T) {
	testenv.Require(t, testenv.Root)
	before := mounts(t)
	dir := t.TempDir()
	if err := Tmpfs(dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	if FSType(dir) != "tmpfs" {
		t.Error("it is not a tmpfs")
	}
	for range 2 { // what is not mounted is not an error
		if err := Unmount(dir); err != nil {
			t.Error(err)
		}
	}
	if mounts(t) != before {
		t.Error("something stays mounted")
	}
}

func TestBindAttributes(t *testing.T) {
	testenv.Require(t, testenv.Root)
	m, err := Clone(nil, t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := SetAttributes(m, Attributes{Set: ReadOnly, Propagation: "slave", Recursive: true}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(m, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing gives %v", err)
	}
}

func TestWhatCannotBeMappedSaysSo(t *testing.T) {
	testenv.Require(t, testenv.Root)
	users, err := ns.NewUser(ns.Mapping{HostID: 300000, Size: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	m, err := Clone(nil, "/proc", false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var e *Error
	if err := SetAttributes(m, Attributes{Users: users}); !errors.As(err, &e) || e.Call != "mount_setattr" {
		t.Errorf("mapping procfs gives %v", err)
	}
	if _, err := Clone(nil, "/no/such", false); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("a missing path gives %v", err)
	}
}

func TestCloneFromAnotherNamespace(t *testing.T) {
	testenv.Require(t, testenv.Root)
	m, err := CloneFrom(os.Getpid(), "/")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := os.Stat(path(m, "etc")); err != nil {
		t.Error(err)
	}
	if _, err := CloneFrom(1<<30, "/"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a process that is not there gives %v", err)
	}
}

func TestReadOnlyLayersAndWhatIsBelow(t *testing.T) {
	testenv.Require(t, testenv.Root)
	before := mounts(t)
	top, bottom := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.Mkdir(top+"/d", 0o755), os.WriteFile(top+"/d/top", []byte("top"), 0o600),
		os.Mkdir(bottom+"/d", 0o755), os.WriteFile(bottom+"/d/bottom", []byte("bottom"), 0o600),
		os.Symlink("../../../../d", top+"/climbs"), os.Symlink("/etc/hostname", top+"/out"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	view := func(lower ...string) *os.File {
		t.Helper()
		m, layers, err := Overlay(Layers{Lower: lower})
		for _, f := range layers {
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, sub := range []string{"d", "climbs"} {
		m, err := Below(view(top, bottom), sub)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"top", "bottom"} {
			if got, err := os.ReadFile(path(m, name)); string(got) != name {
				t.Errorf("%s/%s: %q, %v", sub, name, got, err)
			}
		}
		if err := os.WriteFile(path(m, "new"), nil, 0o600); err == nil {
			t.Error("it can be written")
		}
		m.Close()
	}
	for _, sub := range []string{"none", "out"} {
		if m, err := Below(view(top, bottom), sub); err == nil {
			m.Close()
			t.Errorf("%s is there", sub)
		}
	}
	one := view(top)
	if _, err := os.Stat(path(one, "d/top")); err != nil {
		t.Error(err)
	}
	one.Close()
	if mounts(t) != before {
		t.Error("something stays mounted")
	}
}

func TestSplitLower(t *testing.T) {
	for text, want := range map[string][]string{
		"/a": {"/a"}, "/a:/b": {"/a", "/b"}, `/a\:b:/c\\`: {"/a:b", `/c\`}, `/a\`: {`/a\`},
	} {
		if got := SplitLower(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestOverlayLabel: the label's commas must not end the option, where mount(2) takes them all
// as one string.
func TestOverlayLabel(t *testing.T) {
	const label = "system_u:object_r:container_file_t:s0:c1,c2"
	got := Layers{Upper: "/u", Work: "/w", Label: label}.data([]string{"0", "1"})
	if want := `lowerdir=0:1,upperdir=/u,workdir=/w,volatile,context="` + label + `"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := (Layers{}).data([]string{"0", "1"}); got != "lowerdir=0:1" {
		t.Errorf("without: %s", got)
	}
	if o := Context(label); len(o) != 1 || o[0] != (Option{Key: "context", Value: label}) || Context("") != nil {
		t.Errorf("%+v", o)
	}
}
