package look

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/look/recorded"
)

func TestReadWithoutProc(t *testing.T) {
	if _, err := Read(t.Context(), Options{Root: t.TempDir()}); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v, want not found", err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, Options{Root: recordTree(t, article)}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestHalfProcesses reads what is left when a process ends while it is being read.
func TestHalfProcesses(t *testing.T) {
	root := recordTree(t, initProcess+`
30 1 0 30 / a
31 1 0 31 / b
32 1 0 32 / c
33 1 0 33 / d
  status: Name: z\nState: Z (zombie)\nPPid: 1
34 1 0 34 / e
`)
	for _, gone := range []string{"30/status", "31/ns", "33/ns", "34/cgroup"} {
		if err := os.RemoveAll(root + "/proc/" + gone); err != nil {
			t.Fatal(err)
		}
	}
	put(t, root+"/proc/32/stat", "32 (c) S 1")
	put(t, root+"/proc/4294967297/status", "Name:\tx\nPPid:\t1\n") // no process has such a number
	h := readTree(t, root, Options{})
	var pids []int
	for _, p := range h.Processes {
		pids = append(pids, p.PID)
	}
	// 30 has no status and 31 no namespaces: they have ended. A zombie has none either.
	if want := []int{1, 32, 33, 34}; !slices.Equal(pids, want) {
		t.Errorf("processes %v, want %v", pids, want)
	}
	if len(h.Unread) != 1 || h.Unread[0].What != "start times" || h.Unread[0].Count != 1 {
		t.Errorf("unread: %+v, want the start of 32", h.Unread)
	}
}

// TestEnding reads processes that have let go of most of their namespaces and are not
// yet zombies, and a zombie, which keeps its pid and user namespaces to the end.
func TestEnding(t *testing.T) {
	root := recordTree(t, initProcess+`
33 1 0 33 / d
  status: Name: z\nState: Z (zombie)\nPPid: 1
34 1 0 34 / e
`)
	for _, pid := range []string{"33", "34"} {
		for _, k := range []string{"mnt", "uts", "ipc", "net", "cgroup", "time"} {
			if err := os.Remove(root + "/proc/" + pid + "/ns/" + k); err != nil {
				t.Fatal(err)
			}
		}
	}
	h := readTree(t, root, Options{})
	if len(h.Processes) != 2 || h.Process(33) == nil || h.Process(33).NS.Known() || len(h.Containers) != 0 {
		t.Errorf("%+v, %v", h.Processes, seen(h))
	}
}

func TestHostNamespaces(t *testing.T) {
	root := recordTree(t, initProcess+"2 0 0 2 / kthreadd\n  net=77\n")
	if err := os.RemoveAll(root + "/proc/1/ns"); err != nil {
		t.Fatal(err)
	}
	if h := readTree(t, root, Options{}); h.NSFrom != "/proc/2/ns" || h.NS[Net] != 77 {
		t.Errorf("%v from %s, want those of 2", h.NS, h.NSFrom)
	}
}

// TestInside reads what a process in a container sees: its first process is not the
// machine's, and only what has the kernel's own numbers is the host's.
func TestInside(t *testing.T) {
	h := readTree(t, recordTree(t, `
1 0 0 1 / sh
  mnt=19 uts=16 ipc=17 pid=20 user=13
7 1 0 7 / sleep 9
  mnt=19 uts=16 ipc=17 pid=20 user=13
`), Options{})
	if !h.Inner || h.NS[Net] != 4026531833 || h.NS[Mnt] != 4026531832 {
		t.Errorf("inner %v, host %v", h.Inner, h.NS)
	}
	if got := seen(h); len(got) != 1 || got[0] != "- sh group - sh sh+sleep" {
		t.Errorf("%q", got)
	}
	if h := readTree(t, recordTree(t, article), Options{}); h.Inner {
		t.Error("a host is taken for the inside of something")
	}
}

func TestOnlyThese(t *testing.T) {
	h := readTree(t, recordTree(t, article), Options{PIDs: []int{5035, 5001, 5035, 6000}})
	if len(h.Processes) != 2 || h.Process(5001) == nil || len(h.Containers) != 2 || len(h.Pods) != 1 {
		t.Errorf("%d processes, %v", len(h.Processes), seen(h))
	}
}

// TestKeptRecorded has a namespace that is mounted in two lists of mounts, one that is
// open, one for the next children, and one with a process.
func TestKeptRecorded(t *testing.T) {
	root := recordTree(t, initProcess+`
  mountinfo: 22 1 0:4 net:[900] /run/netns/a rw - nsfs nsfs rw\n23 1 0:4 uts:[31] /x rw - nsfs nsfs rw\n24 1 0:5 /net:[7] /y rw - ext4 a rw
30 1 0 30 / a
  fd/3: -> ipc:[901]
  fd/4: -> /etc/passwd]
  fd/5: -> uts:[31]
  ns/time_for_children: -> time:[902]
31 1 0 31 / b
  mnt=19 uts=31
  mountinfo: 22 1 0:4 net:[900] /host/run/netns/a rw - nsfs nsfs rw
`)
	h := readTree(t, root, Options{Kept: true, Lineage: true})
	want := map[string][3]int{"net:[900]": {2, 0, 0}, "ipc:[901]": {0, 1, 0}, "time:[902]": {0, 0, 1}}
	if len(h.Kept) != len(want) {
		t.Errorf("%+v", h.Kept)
	}
	for _, k := range h.Kept {
		if got := [3]int{len(k.Mounts), len(k.Files), len(k.Children)}; got != want[k.String()] {
			t.Errorf("%v: mounts, files, children %v, want %v", k.Namespace, got, want[k.String()])
		}
	}
	if len(h.Unread) != 1 || !strings.Contains(h.Unread[0].Why, "only the running kernel") {
		t.Errorf("%+v: want it said that parents are not to be had of a recorded tree", h.Unread)
	}
}

func TestRecordedRefuses(t *testing.T) {
	for _, bad := range []string{"1 2 3 4 5", "1 x 0 1 / a", "1 0 0 1 / a\n  net=x"} {
		if _, err := recorded.Parse(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: is taken for a process", bad)
		}
	}
}
