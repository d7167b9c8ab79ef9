package selinux

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/testenv"
)

func TestAssignments(t *testing.T) {
	const text = "# comment\n\nprocess = \"u:r:t:s0\"\nfile=\"u:o:f:s0\"\n;x=y\nSELINUXTYPE=default\nno value\n=\n"
	got := assignments(strings.NewReader(text))
	if len(got) != 3 || got["process"] != "u:r:t:s0" || got["file"] != "u:o:f:s0" || got["SELINUXTYPE"] != "default" {
		t.Errorf("%q", got)
	}
}

func FuzzAssignments(f *testing.F) {
	f.Add("a = \"b\"\n#c=d\n")
	f.Fuzz(func(t *testing.T, text string) {
		for k, v := range assignments(strings.NewReader(text)) {
			if k == "" || strings.ContainsRune(k+v, '\n') {
				t.Errorf("%q=%q", k, v)
			}
		}
	})
}

// TestRelabel: everything in the directory has the label, and what links lead to has not. Where
// the kernel does not run SELinux it keeps any label, which is enough for this.
func TestRelabel(t *testing.T) {
	testenv.Require(t, testenv.Root)
	label := "system_u:object_r:container_file_t:s0"
	dir, outside := t.TempDir(), t.TempDir()
	for _, err := range []error{
		os.MkdirAll(dir+"/a/b", 0o755), os.WriteFile(dir+"/a/b/file", nil, 0o600), os.WriteFile(outside+"/file", nil, 0o600),
		os.Symlink(outside+"/file", dir+"/a/link"), os.Symlink(outside, dir+"/out"), unix.Mkfifo(dir+"/fifo", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	was := read(outside + "/file")
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Labelled(f, label) {
		t.Fatal("it is labelled already")
	}
	if err := Relabel(f, label); err != nil {
		t.Fatal(err)
	}
	if !Labelled(f, label) {
		t.Error("the directory is not labelled")
	}
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if got := read(path); err == nil && got != label {
			t.Errorf("%s is %q", path, got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if got := read(outside + "/file"); got != was {
		t.Errorf("a link led outside: %q", got)
	}
}

func read(path string) string {
	b := make([]byte, 256)
	n, err := unix.Lgetxattr(path, xattr, b)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(b[:n]), "\x00")
}

func TestRelabelLeavesTheHost(t *testing.T) {
	for _, path := range []string{"/", "/etc", "/usr/", "/var/lib/."} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := Relabel(f, "x"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "relabel") {
			t.Errorf("%s: %v", path, err)
		}
		f.Close()
	}
}
