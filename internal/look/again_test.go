package look

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carob/internal/look/recorded"
)

func TestParseStatOfProcess(t *testing.T) {
	const text = "7 (a) (b) S 3 7 7 0 -1 4194560 200 0 0 0 100 0 0 0 20 0 5 0 99 4096 6 18446744073709551615"
	p, ok := parseStat([]byte(text))
	if !ok || p.Comm != "a) (b" || p.State != "S" || p.PPID != 3 || p.Threads != 5 || p.Start != 99 || p.RSS != 6*uint64(os.Getpagesize()) {
		t.Errorf("%+v, %v", p, ok)
	}
	for _, short := range []string{"", "7", "7 )(", "7 (a) S 3", text[:60]} {
		if p, ok := parseStat([]byte(short)); ok {
			t.Errorf("%q: %+v", short, p)
		}
	}
}

// TestBefore reads a host again after some of it has changed.
func TestBefore(t *testing.T) {
	stat := func(pid, ppid, comm, state, start, pages string) string {
		return pid + " (" + comm + ") " + state + " " + ppid + " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 3 0 " + start + " 0 " + pages + " 0"
	}
	all, err := recorded.Parse(strings.NewReader("1 0 0 1 / init\n2 1 0 2 / same\n3 1 0 3 / shell\n4 1 0 4 / reused\n5 1 0 5 / ends\n  mnt=77\n"))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := recorded.Write(root, all); err != nil {
		t.Fatal(err)
	}
	before, err := Read(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "proc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("2/stat", stat("2", "1", "same", "T", "2", "7"))
	put("2/cmdline", "not read\x00")
	put("3/stat", stat("3", "1", "sleep", "S", "3", "7"))
	put("3/status", "Name:\tsleep\nState:\tS (sleeping)\nPPid:\t1\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
	put("3/cmdline", "sleep\x009\x00")
	put("4/stat", stat("4", "1", "reused", "S", "400", "7"))
	put("4/cmdline", "another\x00")
	if err := os.RemoveAll(filepath.Join(root, "proc/5")); err != nil {
		t.Fatal(err)
	}
	now, err := Read(t.Context(), Options{Root: root, Before: before})
	if err != nil {
		t.Fatal(err)
	}
	same := now.Process(2)
	if same.State != "T" || same.Threads != 3 || same.RSS != 7*uint64(os.Getpagesize()) || same.Command() != "same" || same.NS != before.Process(2).NS {
		t.Errorf("the same: %+v", same)
	}
	if got := now.Process(3).Command(); got != "sleep 9" {
		t.Errorf("after execve: %s", got)
	}
	if got := now.Process(4); got.Command() != "another" || got.Start != 400 {
		t.Errorf("of a number that came again: %+v", got)
	}
	if now.Process(5) != nil || len(now.Processes) != 4 {
		t.Errorf("one has ended: %+v", now.Processes)
	}
	if before.Process(2).State != "S" {
		t.Error("the look before was changed")
	}
}
