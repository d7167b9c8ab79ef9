package files

import (
	"strings"
	"testing"
	"time"
)

// The modes are chmod(1)'s, worked out by hand.
func TestChangedMode(t *testing.T) {
	for _, test := range []struct {
		spec       string
		old        uint32
		dir        bool
		umask, new uint32
	}{
		{"644", 0o777, false, 0, 0o644}, {"4755", 0, false, 0, 0o4755}, {"u+x", 0o644, false, 0, 0o744}, {"go-w", 0o666, false, 0, 0o644},
		{"a=r", 0o777, false, 0, 0o444}, {"=r", 0o777, false, 0o077, 0o477}, {"+w", 0o444, false, 0o022, 0o644}, {"a+w", 0o444, false, 0o022, 0o666},
		{"u=rw,g=r,o=", 0o777, false, 0, 0o640}, {"g=u", 0o750, false, 0, 0o770}, {"o=g", 0o750, false, 0, 0o755}, {"a+X", 0o644, false, 0, 0o644},
		{"a+X", 0o644, true, 0, 0o755}, {"a+X", 0o744, false, 0, 0o755}, {"u+s", 0o755, false, 0, 0o4755}, {"g+s", 0o755, false, 0, 0o2755},
		{"o+s", 0o755, false, 0, 0o755}, {"+t", 0o777, true, 0, 0o1777}, {"u+r-w", 0o200, false, 0, 0o400}, {"u=", 0o4777, false, 0, 0o077},
		{"a=rx", 0o2777, true, 0, 0o2555},
	} {
		if got, err := changedMode(test.spec, test.old, test.dir, test.umask); got != test.new || err != nil {
			t.Errorf("%s of %o: %o, %v; want %o", test.spec, test.old, got, err, test.new)
		}
	}
	for _, bad := range []string{"", "888", "u", "u+q", "x", "17777", "u+x,", "+x,g", "-1"} {
		if got, err := changedMode(bad, 0o644, false, 0); err == nil {
			t.Errorf("%q: %o", bad, got)
		}
	}
}

func FuzzChangedMode(f *testing.F) {
	f.Add("u+x,g=u", uint32(0o644), true)
	f.Fuzz(func(t *testing.T, spec string, old uint32, dir bool) {
		if got, err := changedMode(spec, old&0o7777, dir, 0o022); err == nil && got > 0o7777 {
			t.Errorf("%q makes %o", spec, got)
		}
	})
}

func TestModeText(t *testing.T) {
	for mode, want := range map[uint32]string{
		0o100644: "-rw-r--r--", 0o040755: "drwxr-xr-x", 0o041777: "drwxrwxrwt", 0o041776: "drwxrwxrwT", 0o104755: "-rwsr-xr-x", 0o104644: "-rwSr--r--",
		0o102755: "-rwxr-sr-x", 0o120777: "lrwxrwxrwx", 0o020666: "crw-rw-rw-", 0o060660: "brw-rw----", 0o010600: "prw-------", 0o140700: "srwx------",
	} {
		if got := modeText(mode); got != want {
			t.Errorf("%o: %s, want %s", mode, got, want)
		}
	}
}

func TestFileTime(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		at   time.Time
		want string
	}{
		{now.Add(-time.Hour), "Jul  1 11:00"}, {now.AddDate(0, -5, 0), "Feb  1 12:00"}, {now.AddDate(0, -7, 0), "Dec  1  2025"}, {now.Add(time.Hour), "Jul  1  2026"},
	} {
		if got := fileTime(test.at, now); got != test.want {
			t.Errorf("%v: %q, want %q", test.at, got, test.want)
		}
	}
}

func TestColumnsReadDownwards(t *testing.T) {
	if got, want := columns([]string{"a", "b", "c", "dd", "e"}, 9), "a   dd\nb   e\nc\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := columns([]string{"longer than the line"}, 5), "longer than the line\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestReadMounts(t *testing.T) {
	all, err := readMounts(strings.NewReader("proc /proc proc rw,nosuid 0 0\n/dev/a\\040b /mnt/x\\011y\\134z ext4 ro 0 0\nshort line\n"))
	if err != nil || len(all) != 2 || all[1] != (mounted{"/dev/a b", "/mnt/x\ty\\z", "ext4", "ro"}) {
		t.Errorf("%q, %v", all, err)
	}
}

func FuzzReadMounts(f *testing.F) {
	f.Add("proc /proc proc rw 0 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, _ := readMounts(strings.NewReader(text)) // too long a line is an error
		for _, m := range all {
			if m.target == "" {
				t.Errorf("%q: a mount on nothing", text)
			}
		}
	})
}

func TestMountFlags(t *testing.T) {
	if flags, data := mountFlags("ro,size=1m,,nosuid,mode=755"); flags != 1|2 || data != "size=1m,mode=755" {
		t.Errorf("%#x %q", flags, data)
	}
}
