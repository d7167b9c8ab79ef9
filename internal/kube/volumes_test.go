package kube

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"carob/internal/fault"
	"carob/internal/kube/manifest"
	"carob/internal/spec"
	"carob/internal/sys/disk"
	"carob/internal/testenv"
	"carob/internal/undo"
)

func TestHostPathTypes(t *testing.T) {
	dir := t.TempDir()
	file, sock := filepath.Join(dir, "file"), filepath.Join(dir, "s")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	paths := map[string]corev1.HostPathType{dir: corev1.HostPathDirectory, file: corev1.HostPathFile,
		sock: corev1.HostPathSocket, "/dev/null": corev1.HostPathCharDev}
	kinds := []corev1.HostPathType{corev1.HostPathUnset, corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate,
		corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev}
	for path, is := range paths {
		for _, kind := range kinds {
			err := hostPath(&corev1.HostPathVolumeSource{Path: path, Type: &kind}, &undo.Stack{})
			fits := kind == corev1.HostPathUnset || kind == is || kind == is+"OrCreate"
			if fits != (err == nil) || (err != nil && !fault.Is(err, fault.Conflict)) {
				t.Errorf("%s as %q: %v", path, kind, err)
			}
		}
	}
	for _, kind := range kinds {
		path := filepath.Join(dir, "missing"+string(kind), "x")
		if kind == corev1.HostPathFileOrCreate { // its directory must be there
			path = filepath.Join(dir, "missing")
		}
		var back undo.Stack
		err := hostPath(&corev1.HostPathVolumeSource{Path: path, Type: &kind}, &back)
		if creates := strings.HasSuffix(string(kind), "OrCreate"); creates != (err == nil) || (err != nil && !fault.Is(err, fault.NotFound)) {
			t.Errorf("missing as %q: %v", kind, err)
		}
		if err := back.Unwind(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Dir(path)); kind == corev1.HostPathDirectoryOrCreate && !os.IsNotExist(err) {
			t.Errorf("%q: not taken back: %v", kind, err)
		}
	}
}

// TestUndoKeepsWhatIsUsed: a path made for an apply that failed may have got
// content by then.
func TestUndoKeepsWhatIsUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a/b")
	var back undo.Stack
	if err := makeDirs(dir, &back); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := back.Unwind(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/x"); err != nil {
		t.Error(err)
	}
}

func TestEmptyDirModes(t *testing.T) {
	dir := t.TempDir()
	f := newFake()
	a := f.applier(t)
	for name, v := range map[string]manifest.Volume{
		"plain":  {Mode: 0o777},
		"group":  {Mode: 0o2777, Group: new(int64(os.Getgid()))},
		"sticky": {Mode: 0o1700},
	} {
		v.Dir = filepath.Join(dir, name)
		if err := a.makeEmptyDir(v); err != nil {
			t.Error(name, err)
			continue
		}
		st, err := os.Stat(v.Dir)
		if err != nil || st.Mode() != os.ModeDir|fileMode(v.Mode) {
			t.Error(name, st.Mode(), err)
		}
	}
}

func TestSubPathsStayInside(t *testing.T) {
	base := t.TempDir()
	volume, outside := filepath.Join(base, "volume"), filepath.Join(base, "outside")
	for _, d := range []string{volume, outside, volume + "/real"} {
		if err := os.Mkdir(d, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": "../outside", "abs": outside, "up": "..", "in": "real", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(volume, link)); err != nil {
			t.Fatal(err)
		}
	}
	for sub, ok := range map[string]bool{"a/b/c": true, "real": true, "in/x": true, "out": false, "out/x": false, "abs/x": false, "up/new": false, "loop/x": false} {
		err := makeSubPaths([]spec.Mount{{Source: volume, SubPath: sub}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", sub, err)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Error("made outside:", entries)
	}
	if entries, _ := os.ReadDir(base); len(entries) != 2 {
		t.Error("made outside:", entries)
	}
	if st, err := os.Stat(volume + "/a/b/c"); err != nil || st.Mode().Perm() != 0o750 {
		t.Error(st, err)
	}
}

func TestSweep(t *testing.T) {
	f := newFake()
	a := f.applier(t)
	if err := a.Sweep(func(string) bool { return false }); err != nil {
		t.Error("without a directory:", err)
	}
	live, dead := newUID(), newUID()
	for _, name := range []string{live, dead, "not-ours"} {
		if err := os.MkdirAll(filepath.Join(a.Dir, name, "volumes/v"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Sweep(func(uid string) bool { return uid == live }); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(a.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{live, "not-ours"}
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	for _, uid := range []string{"", ".", "..", "../../etc", live + "/../x"} {
		if err := a.removeVolumes(uid); err == nil {
			t.Errorf("removed %q", uid)
		}
	}
}

func TestSeccompProfiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/p.json", []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", dir+"/out"); err != nil {
		t.Fatal(err)
	}
	a := &Applier{SeccompDir: dir}
	got, err := a.readProfiles([]string{"p.json"})
	if diff := cmp.Diff(map[string]string{"p.json": "{}"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, name := range []string{"missing", "out", "../" + filepath.Base(dir) + "/p.json"} {
		if _, err := a.readProfiles([]string{name}); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (&Applier{}).readProfiles([]string{"p.json"}); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
}

// kernelMounts is what package sys/mount does, for the test below.
type kernelMounts struct{}

func (kernelMounts) Tmpfs(dir string, _ int64) error {
	return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "size=64k")
}

func (kernelMounts) Unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

func (kernelMounts) Remove(dir string) error { return disk.Remove(context.Background(), dir) }

// TestRealMounts: a delete takes off the memory volume and what a container has
// mounted into a volume, whose files stay.
func TestRealMounts(t *testing.T) {
	testenv.Require(t, testenv.Root)
	f := newFake()
	a := &Applier{Engine: f, Mounts: kernelMounts{}, Dir: filepath.Join(t.TempDir(), "with space")}
	ms := parse(t, strings.Replace(small, "spec:", "spec:\n  volumes: [{name: m, emptyDir: {medium: Memory}}, {name: d}]", 1))
	if _, err := a.Apply(t.Context(), ms, Options{}); err != nil {
		t.Fatal(err)
	}
	p, err := f.Pod("default/one")
	if err != nil {
		t.Fatal(err)
	}
	dir := a.volumeDir(p.Spec.UID)
	foreign := t.TempDir()
	if err := os.WriteFile(foreign+"/precious", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{dir + "/d/x", dir + "/m/y"} {
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(foreign, at, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := mountsBelow(dir); err != nil || len(got) != 3 {
		t.Error(got, err)
	}
	if _, err := a.Delete(t.Context(), []string{"one"}, nil, nil); err != nil {
		t.Error(err)
	}
	if left := f.left(t, a); len(left) > 0 {
		t.Error(left)
	}
	if _, err := os.Stat(foreign + "/precious"); err != nil {
		t.Error(err)
	}
}

func TestParseMountinfo(t *testing.T) {
	const text = `22 1 0:21 / / rw - ext4 /dev/x rw
30 22 0:30 / /pods/a\040b rw,nosuid shared:1 - tmpfs tmpfs rw
31 30 0:31 / /pods/a\040b/v\134 rw - tmpfs tmpfs rw
32 22 0:32 / /pods/a\040bc rw - tmpfs tmpfs rw
`
	got, err := parseMountinfo(strings.NewReader(text), "/pods/a b")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/pods/a b", `/pods/a b/v\`}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := parseMountinfo(strings.NewReader("what\n"), "/"); err == nil {
		t.Error("accepted")
	}
}

func FuzzParseMountinfo(f *testing.F) {
	f.Add("30 22 0:30 / /pods/a\\040b rw - tmpfs tmpfs rw\n", "/pods")
	f.Add("a b c d \\", "/")
	f.Fuzz(func(t *testing.T, text, dir string) {
		found, err := parseMountinfo(strings.NewReader(text), dir)
		for _, m := range found {
			if err == nil && !strings.HasPrefix(m, strings.TrimSuffix(dir, "/")) {
				t.Errorf("%q is not below %q", m, dir)
			}
		}
	})
}

func TestLocal(t *testing.T) {
	f, err := Local()
	if err != nil {
		t.Fatal(err)
	}
	if f.NodeName == "" || f.CPUs < 1 || f.Memory < 1<<20 {
		t.Errorf("%+v", f)
	}
	if n, err := parseMemory(strings.NewReader("MemFree: 1 kB\nMemTotal:  2 kB\n")); n != 2048 || err != nil {
		t.Error(n, err)
	}
	if _, err := parseMemory(strings.NewReader("")); err == nil {
		t.Error("accepted")
	}
}
