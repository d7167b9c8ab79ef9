package ocirt

import (
	"carob/internal/sys/fd"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestSetEnv(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	passwd := "root:x:0:0:root:/root:/bin/sh\nevil:x:7:7::/a\rb:/bin/sh\nshort:x:8\nnone:x:9:9:::\n"
	if err := os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct {
		uid  uint32
		env  []string
		want []string
	}{
		{0, []string{"A=1", "B=2", "A=3"}, []string{"B=2", "A=3", "HOME=/root"}},
		{0, []string{"HOME=/x"}, []string{"HOME=/x"}},
		{0, []string{"HOME=", "A=\n"}, []string{"A=\n", "HOME=/root"}},
		{0, []string{"HOME=/x", "HOME="}, []string{"HOME=/root"}},
		{7, nil, []string{"HOME=/"}},
		{8, nil, []string{"HOME=/"}},
		{9, nil, []string{"HOME=/"}},
		{99, nil, []string{"HOME=/"}},
	} {
		p := &specs.Process{Env: c.env, User: specs.User{UID: c.uid}}
		if err := setEnv(p, root); err != nil {
			t.Errorf("%d %v: %v", c.uid, c.env, err)
		}
		if d := cmp.Diff(c.want, p.Env); d != "" {
			t.Errorf("%d %v: %s", c.uid, c.env, d)
		}
	}
	if err := setEnv(&specs.Process{Env: []string{"novalue"}}, root); err == nil {
		t.Error("a variable without a value is taken")
	}
}

// TestHostilePasswd: what an image has in the place of /etc/passwd is neither waited for
// nor followed out of the root, nor read without end.
func TestHostilePasswd(t *testing.T) {
	for name, set := range map[string]func(at string) error{
		"missing":   func(string) error { return nil },
		"directory": func(at string) error { return os.Mkdir(at, 0o755) },
		"link out":  func(at string) error { return os.Symlink("../../../../../../etc/passwd", at) },
		"loop":      func(at string) error { return os.Symlink("passwd", at) },
		"long line": func(at string) error { return os.WriteFile(at, []byte(strings.Repeat("x", 2<<20)), 0o644) },
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := set(filepath.Join(dir, "etc/passwd")); err != nil {
			t.Fatal(err)
		}
		root, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := homeOf(0, root); got != "/" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		root.Close()
	}
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for from, to := range map[string]string{
		"resolv.conf": "../run/resolve/stub.conf", "abs": "/run/x", "up": "../../../../../etc", "loop": "loop", "two": "abs/y",
	} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"/resolv.conf": "/run/resolve/stub.conf", "/abs/z": "/run/x/z", "/up/hosts": "/etc/hosts", "/two": "/run/x/y", "/plain/a": "/plain/a",
	} {
		if got := fd.Follow(root, name); got != want {
			t.Errorf("%s leads to %s, want %s", name, got, want)
		}
	}
	fd.Follow(root, "/loop/a") // ends
}

func TestOutside(t *testing.T) {
	maps := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 5, HostID: 2000, Size: 10}}
	for id, want := range map[uint32]uint32{0: 1000, 5: 2000, 14: 2009, 15: 15, 3: 3} {
		if got := outside(maps, id); got != want {
			t.Errorf("%d is %d, want %d", id, got, want)
		}
	}
}
