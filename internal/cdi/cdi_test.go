package cdi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/spec"
)

// description is a specification file with a device "one" that sets X, and one that all set Y.
func description(x string) string {
	return `{"cdiVersion": "0.6.0", "kind": "vendor.example/thing", "containerEdits": {"env": ["Y=all"]}, "devices": [
		{"name": "one", "containerEdits": {"env": ["X=` + x + `"]}},
		{"name": "two", "containerEdits": {"env": ["Z=2"]}}]}`
}

func write(t *testing.T, path, text string) {
	t.Helper()
	temporary := path + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		t.Fatal(err)
	}
}

func env(t *testing.T, s *Store, names ...string) []string {
	t.Helper()
	c, err := s.Inject(&spec.Container{CDIDevices: names})
	if err != nil {
		t.Fatal(err)
	}
	return c.Env
}

func TestInject(t *testing.T) {
	static, dynamic := t.TempDir(), t.TempDir()
	s := New([]string{static, dynamic, filepath.Join(static, "absent")})
	write(t, filepath.Join(static, "a.json"), description("1"))
	asked := spec.Container{
		Env:         []string{"A=0"},
		CDIDevices:  []string{"vendor.example/thing=two", "vendor.example/thing=two"},
		Annotations: map[string]string{"cdi.k8s.io/y": "vendor.example/thing=one,vendor.example/thing=two", "other": "x"},
	}
	got, err := s.Inject(&asked)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"A=0", "Y=all", "Z=2", "X=1"}, got.Env); d != "" {
		t.Errorf("the file's edits once, then each device's once: %s", d)
	}
	if len(asked.Env) != 1 {
		t.Error("the request has changed")
	}
	if got, err := s.Inject(&spec.Container{Annotations: map[string]string{"other": "x"}}); got != nil || err != nil {
		t.Errorf("no device named: %+v, %v", got, err)
	}
	// A later directory goes before; what changes is seen at once; what goes is gone.
	const one = "vendor.example/thing=one"
	write(t, filepath.Join(dynamic, "b.json"), description("2"))
	if got := env(t, s, one); got[1] != "X=2" {
		t.Errorf("two directories: %q", got)
	}
	write(t, filepath.Join(dynamic, "b.json"), description("3"))
	if got := env(t, s, one); got[1] != "X=3" {
		t.Errorf("rewritten: %q", got)
	}
	if err := os.Remove(filepath.Join(dynamic, "b.json")); err != nil {
		t.Fatal(err)
	}
	if got := env(t, s, one); got[1] != "X=1" {
		t.Errorf("removed: %q", got)
	}
	before := s.files[filepath.Join(static, "a.json")].spec
	env(t, s, one)
	if s.files[filepath.Join(static, "a.json")].spec != before {
		t.Error("an unchanged file was read again")
	}
}

// TestBroken: what is wrong with a file or a name is said with it, and hurts nobody else.
func TestBroken(t *testing.T) {
	dir := t.TempDir()
	s := New([]string{dir})
	write(t, filepath.Join(dir, "good.json"), description("1"))
	write(t, filepath.Join(dir, "bad.yaml"), "kind: [")
	write(t, filepath.Join(dir, "bomb.yaml"), "a: &a [x,x,x,x,x,x,x,x,x]\n"+strings.Repeat("b: [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", 3))
	write(t, filepath.Join(dir, "unknown.json"), `{"cdiVersion": "0.6.0", "kind": "v.example/x", "surprise": 1, "devices": []}`)
	write(t, filepath.Join(dir, "large.json"), strings.Repeat(" ", maxFile+1))
	if err := os.Mkdir(filepath.Join(dir, "directory.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "endless.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling.json")); err != nil {
		t.Fatal(err)
	}
	if got := env(t, s, "vendor.example/thing=one"); len(got) != 2 {
		t.Errorf("%q", got)
	}
	for file, want := range map[string]string{
		"bad.yaml": "yaml", "bomb.yaml": "", "unknown.json": "surprise", "large.json": "larger than", "directory.json": "regular",
		"endless.json": "regular", "dangling.json": "no such file",
	} {
		if err := s.files[filepath.Join(dir, file)].err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
	_, err := s.Inject(&spec.Container{CDIDevices: []string{"vendor.example/thing=three"}})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "thing=three") || !strings.Contains(err.Error(), filepath.Join(dir, "bad.yaml")) {
		t.Errorf("%v", err)
	}
	write(t, filepath.Join(dir, "again.json"), description("2"))
	_, err = s.Inject(&spec.Container{CDIDevices: []string{"vendor.example/thing=one"}})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "again.json") || !strings.Contains(err.Error(), "good.json") {
		t.Errorf("two files of one directory: %v", err)
	}
	for _, name := range []string{"", "thing", "vendor.example/thing", "/dev/zero", "a/b=c d"} {
		if _, err := s.Inject(&spec.Container{CDIDevices: []string{name}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.Inject(&spec.Container{CDIDevices: make([]string, maxDevices+1)}); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many: %v", err)
	}
}

// TestEditsNameTheFile: an edit that cannot be applied is told with device and file.
func TestEditsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	s := New([]string{dir})
	path := filepath.Join(dir, "x.json")
	write(t, path, `{"cdiVersion": "0.7.0", "kind": "v.example/x", "devices": [
		{"name": "absent", "containerEdits": {"deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/no/such"}]}},
		{"name": "nfs", "containerEdits": {"mounts": [{"hostPath": "s:/x", "containerPath": "/x", "type": "nfs"}]}},
		{"name": "rdt", "containerEdits": {"intelRdt": {"closID": "x"}}}]}`)
	for device, want := range map[string]string{"absent": "/dev/no/such", "nfs": "nfs", "rdt": "intelRdt"} {
		_, err := s.Inject(&spec.Container{CDIDevices: []string{"v.example/x=" + device}})
		if err == nil || !strings.Contains(err.Error(), "v.example/x="+device+": "+path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", device, err)
		}
	}
}

func FuzzInject(f *testing.F) {
	f.Add(description("1"))
	f.Add("cdiVersion: 0.6.0\nkind: vendor.example/thing\ndevices: [{name: one, containerEdits: {hooks: [{hookName: poststop, path: /x}]}}]")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		write(t, filepath.Join(dir, "x.yaml"), text)
		c, err := New([]string{dir}).Inject(&spec.Container{CDIDevices: []string{"vendor.example/thing=one"}})
		if (c == nil) == (err == nil) {
			t.Errorf("%+v, %v", c, err)
		}
	})
}
