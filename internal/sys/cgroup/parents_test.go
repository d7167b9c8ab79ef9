package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// standing counts the trees in which a path is.
func standing(t *testing.T, l *Layout, rel string) (n int) {
	t.Helper()
	for _, tree := range l.trees {
		switch _, err := os.Lstat(tree.dir + rel); {
		case err == nil:
			n++
		case !errors.Is(err, fs.ErrNotExist):
			t.Fatal(err)
		}
	}
	return n
}

func mustRemove(t *testing.T, g *Group) {
	t.Helper()
	if err := g.Remove(within(t, 2*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// byHand makes a group in every tree as cgcreate would.
func byHand(t *testing.T, l *Layout, rel string) {
	t.Helper()
	for _, tree := range l.trees {
		if err := os.Mkdir(tree.dir+rel, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParentsGoWithTheLastGroup(t *testing.T) { eachTracking(t, parentsGoWithTheLastGroup) }

func parentsGoWithTheLastGroup(t *testing.T, l *Layout, root string) {
	a, b := create(t, l, root+"/p/q/a", nil), create(t, l, root+"/p/b", nil)
	mustRemove(t, a)
	if q, p := standing(t, l, root+"/p/q"), standing(t, l, root+"/p"); q != 0 || p != len(l.trees) {
		t.Errorf("after the first: q in %d trees, p in %d", q, p)
	}
	mustRemove(t, b)
	if n := standing(t, l, root); n != 0 {
		t.Errorf("after the last: parents in %d trees", n)
	}
}

func TestOthersParentsStay(t *testing.T) {
	l, root := host(t)
	byHand(t, l, root)
	mustRemove(t, create(t, l, root+"/p/a", nil))
	if p, r := standing(t, l, root+"/p"), standing(t, l, root); p != 0 || r != len(l.trees) {
		t.Errorf("ours in %d trees, the user's in %d", p, r)
	}
	// What Create made as a group is a group, not a parent.
	pod := create(t, l, root+"/pod", nil)
	mustRemove(t, create(t, l, pod.Name()+"/c", nil))
	if n := standing(t, l, pod.Name()); n != len(l.trees) {
		t.Errorf("a pod's group went with its container's: %d trees", n)
	}
}

func TestParentInUseStays(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root+"/p/a", nil)
	used := root + "/p"
	if l.Mode() == ModeV2 { // there a group passes controllers down or has processes, not both
		used += "/somebody's"
		byHand(t, l, used)
	}
	cmd := run(t, &Group{l: l, rel: used}, "sleep 100")
	mustRemove(t, g)
	if n := standing(t, l, root+"/p"); n != len(l.trees) {
		t.Errorf("a parent with a process is in %d trees", n)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestUnmarkedParentStays(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root+"/p/a", nil)
	if err := unix.Lremovexattr(l.trees[0].dir+root+"/p", markName); err != nil {
		t.Fatal(err)
	}
	mustRemove(t, g)
	if n := standing(t, l, root+"/p"); n != 1 {
		t.Errorf("in %d trees", n)
	}
}

func TestRemoveCompletes(t *testing.T) {
	l, root := host(t)
	g := create(t, l, root+"/p/a", nil)
	for _, tree := range l.trees { // a crash after the groups, before their parents
		if err := os.Remove(tree.dir + g.Name()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Remove(within(t, time.Second), g.Name()); err != nil {
		t.Fatal(err)
	}
	if n := standing(t, l, root); n != 0 {
		t.Errorf("parents in %d trees", n)
	}
	if err := l.Remove(t.Context(), "/../etc"); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

func TestKeepAndPrune(t *testing.T) {
	l, root := host(t)
	if err := l.Prune(); err != nil { // nothing is kept
		t.Error(err)
	}
	l.Keep(root + "/k")
	prune := func(want int) {
		t.Helper()
		if err := l.Prune(); err != nil {
			t.Error(err)
		}
		if n := standing(t, l, root+"/k"); n != want {
			t.Errorf("in %d trees, want %d", n, want)
		}
	}
	g := create(t, l, root+"/k/a", nil)
	prune(len(l.trees))
	mustRemove(t, g)
	if n := standing(t, l, root+"/k"); n != len(l.trees) {
		t.Errorf("in %d trees before Prune", n)
	}
	prune(0)
	if n := standing(t, l, root); n != 0 {
		t.Errorf("the kept parent's parent is in %d trees", n)
	}
	prune(0)
	byHand(t, l, root)
	byHand(t, l, root+"/k")
	mustRemove(t, create(t, l, root+"/k/a", nil))
	prune(len(l.trees))
}

// TestNeighboursComeAndGo lets the parent be removed under those who make groups in
// it, some of which are refused.
func TestNeighboursComeAndGo(t *testing.T) {
	l, root := host(t)
	tooFast := &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(10))}}
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			for range 12 {
				name := root + "/p/q/" + strconv.Itoa(i)
				if i%4 == 0 {
					if _, err := l.Create(name, tooFast); !fault.Is(err, fault.Invalid) {
						t.Errorf("%d: %v", i, err)
					}
					continue
				}
				g, err := l.Create(name, nil)
				if err != nil {
					t.Errorf("%d: %v", i, err)
					continue
				}
				if err := g.Remove(t.Context()); err != nil {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	all.Wait()
	if n := standing(t, l, root); n != 0 {
		t.Errorf("parents in %d trees", n)
	}
}

// TestNeighboursTogether makes groups with limits in a parent that is as new: each has the
// controllers, whoever of them passes them down.
func TestNeighboursTogether(t *testing.T) {
	l, root := host(t)
	limits := &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(50000))}, Pids: &specs.LinuxPids{Limit: ptr(int64(77))}}
	for range 30 {
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				g, err := l.Create(root+"/p/"+strconv.Itoa(i), limits)
				if err != nil {
					t.Error(err)
					return
				}
				if err := g.Remove(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

func TestAsideComesAndGoes(t *testing.T) { eachTracking(t, asideComesAndGoes) }

func asideComesAndGoes(t *testing.T, l *Layout, root string) {
	if a, err := l.Aside(); err != nil || a.Dir != nil || a.Files != nil {
		t.Errorf("without Keep: %+v, %v", a, err)
	}
	l.Keep(root + "/k")
	var want int // the trees by which a service manager knows processes
	for _, tree := range l.trees {
		if tree.v2 || len(tree.controllers) == 0 {
			want++
		}
	}
	for range 2 { // the second finds it made
		a, err := l.Aside()
		if err != nil {
			t.Fatal(err)
		}
		got := len(a.Files)
		if a.Dir != nil {
			got++
		}
		a.Close()
		if made := standing(t, l, root+"/k"+asideName); got != want || made != want {
			t.Errorf("opened in %d trees, made in %d, want %d", got, made, want)
		}
	}
	if want > 0 {
		cmd := exec.Command("sleep", "100")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for _, tree := range l.trees {
			if tree.v2 || len(tree.controllers) == 0 {
				if err := writeFile(tree.dir+root+"/k"+asideName+"/cgroup.procs", strconv.Itoa(cmd.Process.Pid)); err != nil {
					t.Error(err)
				}
			}
		}
		if err := l.Prune(); err != nil || standing(t, l, root+"/k"+asideName) != want {
			t.Errorf("in use, it did not survive Prune: %v", err)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err := l.Prune(); err != nil || standing(t, l, root) != 0 {
		t.Errorf("after Prune: in %d trees, %v", standing(t, l, root), err)
	}
}

// TestAsideWhileOthersPrune is many daemons that come and go.
func TestAsideWhileOthersPrune(t *testing.T) {
	l, root := host(t)
	l.Keep(root + "/k")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				a, err := l.Aside()
				if err != nil {
					t.Error(err)
				}
				a.Close()
				if err := l.Prune(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := standing(t, l, root); n != 0 {
		t.Errorf("left in %d trees", n)
	}
}
