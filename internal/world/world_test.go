package world

import (
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
	"carob/internal/testenv"
)

// TestWhole: a read-only tree is read-only also below, for carob's own words; for those of
// the OCI specification only the mount itself is.
func TestWhole(t *testing.T) {
	testenv.Require(t, testenv.Root)
	dir := t.TempDir()
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mount.Tmpfs(below, 1<<16); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := mount.Unmount(below); err != nil {
			t.Error(err)
		}
	}()
	source, err := fd.OpenPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for _, c := range []struct {
		options []string
		whole   bool
		writes  bool // below
	}{
		{[]string{"rbind", "ro"}, true, false}, {[]string{"rbind", "ro"}, false, true}, {[]string{"rbind", "rro"}, false, false},
	} {
		f, err := Bind(source, specs.Mount{Source: dir, Options: c.options}, Mapping{Whole: c.whole})
		if err != nil {
			t.Fatal(err)
		}
		at := fd.Path(f)
		if err := os.WriteFile(at+"/x", nil, 0o600); err == nil {
			t.Errorf("%v: the mount itself can be written to", c.options)
		}
		if err := os.WriteFile(at+"/below/x", nil, 0o600); (err == nil) != c.writes {
			t.Errorf("%v, whole %v: writing below gives %v", c.options, c.whole, err)
		}
		f.Close()
	}
	ro, err := Bind(source, specs.Mount{Source: dir, Options: []string{"rbind", "ro"}}, Mapping{Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	again, err := Bind(ro, specs.Mount{Source: dir, Options: []string{"bind", "rw"}}, Mapping{Whole: true})
	if err != nil {
		t.Skip("this kernel clones no detached mount: ", err)
	}
	defer again.Close()
	if err := os.WriteFile(fd.Path(again)+"/y", nil, 0o600); err == nil {
		t.Error("a read-only source has become writable")
	}
}
