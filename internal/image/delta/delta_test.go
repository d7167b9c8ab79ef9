package delta

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"carob/internal/status"
	"carob/internal/testenv"
)

// layer makes a directory of these: "d/" is a directory, "d/!" makes it opaque, "-f" in
// a path's last part is a whiteout of f, all else a file.
func layer(t *testing.T, names ...string) string {
	t.Helper()
	top := t.TempDir()
	for _, n := range names {
		path := filepath.Join(top, n)
		dir, base := filepath.Split(path)
		var err error
		switch {
		case n[len(n)-1] == '/':
			err = os.MkdirAll(path, 0o755)
		case base == "!":
			err = unix.Setxattr(dir, "trusted.overlay.opaque", []byte("y"), 0)
		case base[0] == '-':
			err = unix.Mknod(dir+base[1:], unix.S_IFCHR, 0)
		default:
			err = os.WriteFile(path, nil, 0o600)
		}
		if err != nil {
			t.Fatal(n, err)
		}
	}
	return top
}

func TestChanges(t *testing.T) {
	testenv.Require(t, testenv.Root)
	type layers [][]string
	for name, c := range map[string]struct {
		upper []string
		lower layers
		want  []string
	}{
		"nothing": {nil, layers{{"a"}}, nil},
		"added, changed, deleted": {[]string{"new", "a", "-b", "d/", "d/new"}, layers{{"a", "b", "d/", "d/x"}},
			[]string{"C /a", "D /b", "C /d", "A /d/new", "A /new"}},
		"a new directory":                  {[]string{"d/", "d/e/", "d/e/f"}, layers{{"a"}}, []string{"A /d", "A /d/e", "A /d/e/f"}},
		"whiteout of what was never there": {[]string{"-x"}, layers{{"a"}}, nil},
		"gone in a lower layer already":    {[]string{"x", "-y"}, layers{{"-x", "-y"}, {"x", "y"}}, []string{"A /x"}},
		"below a lower whiteout":           {[]string{"d/", "d/f"}, layers{{"-d"}, {"d/", "d/f"}}, []string{"A /d", "A /d/f"}},
		"below a lower opaque directory":   {[]string{"d/", "d/f", "d/g"}, layers{{"d/", "d/!", "d/g"}, {"d/", "d/f"}}, []string{"C /d", "A /d/f", "C /d/g"}},
		"below a file of a lower layer":    {[]string{"d/", "d/f"}, layers{{"d"}, {"d/", "d/f"}}, []string{"C /d", "A /d/f"}},
		"a file over a directory":          {[]string{"d"}, layers{{"d/", "d/f"}}, []string{"C /d"}},
		"an opaque directory": {[]string{"d/", "d/!", "d/f", "d/n"}, layers{{"d/", "d/f", "d/g", "-d/h"}, {"d/", "d/h", "d/i"}},
			[]string{"C /d", "A /d/f", "D /d/g", "D /d/i", "A /d/n"}},
		"merged lower directories": {[]string{"d/", "-d/a", "-d/b", "d/c"}, layers{{"d/", "d/a"}, {"d/", "d/b", "d/c"}},
			[]string{"C /d", "D /d/a", "D /d/b", "C /d/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			var lower []string
			for _, l := range c.lower {
				for i, n := range l { // "-d/h" reads better than "d/-h"
					if dir, base := filepath.Split(n); dir != "" && dir[0] == '-' {
						l[i] = dir[1:] + "-" + base
					}
				}
				lower = append(lower, layer(t, l...))
			}
			for i, n := range c.upper {
				if dir, base := filepath.Split(n); dir != "" && dir[0] == '-' {
					c.upper[i] = dir[1:] + "-" + base
				}
			}
			got, err := Changes(t.Context(), layer(t, c.upper...), lower)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, words(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChangesEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Changes(ctx, t.TempDir(), nil); err == nil {
		t.Error("it went on")
	}
	if _, err := Changes(t.Context(), t.TempDir()+"/none", nil); err == nil {
		t.Error("no upper directory is no error")
	}
}

// words are changes as `docker diff` prints them.
func words(all []status.Change) (out []string) {
	for _, c := range all {
		out = append(out, string(c.Kind)+" "+c.Path)
	}
	return out
}

// A container's links lead nowhere but into its own directory.
func TestChangesStaysInside(t *testing.T) {
	up := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(up, "etc")); err != nil {
		t.Fatal(err)
	}
	got, err := Changes(t.Context(), up, []string{t.TempDir()})
	if d := cmp.Diff([]string{"A /etc"}, words(got)); err != nil || d != "" {
		t.Error(err, d)
	}
}
