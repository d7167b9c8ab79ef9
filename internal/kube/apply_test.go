package kube

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/spec"
)

// rich uses everything that an Apply can do. HOST is replaced by a directory.
const rich = `
apiVersion: v1
kind: Pod
metadata: {name: rich}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 7
  volumes:
  - {name: disk}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: host, hostPath: {path: HOST/a/b, type: DirectoryOrCreate}}
  - {name: file, hostPath: {path: HOST/f, type: FileOrCreate}}
  initContainers:
  - {name: first, image: i, volumeMounts: [{name: disk, mountPath: /d, subPath: x/y}]}
  - {name: side, image: i, restartPolicy: Always}
  - {name: other-side, image: i, restartPolicy: Always}
  - {name: second, image: i}
  containers:
  - name: app
    image: i
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts: [{name: memory, mountPath: /m}, {name: disk, mountPath: /d}]
  - {name: helper, image: i}
`

func TestApply(t *testing.T) {
	f := newFake()
	a := f.applier(t)
	host := t.TempDir()
	ms := parse(t, strings.ReplaceAll(rich, "HOST", host))
	var steps []string
	var mu sync.Mutex
	results, err := a.Apply(t.Context(), ms, Options{Progress: func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, p.Container+" "+p.Step)
	}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range results[0].Containers {
		names = append(names, c.Name+" "+string(c.State))
	}
	want := []string{"first exited", "side running", "other-side running", "second exited", "app running", "helper running"}
	if diff := cmp.Diff(want, names); diff != "" || results[0].Action != Created {
		t.Error(results[0].Action, diff)
	}
	if diff := cmp.Diff([]string{"IP=10.0.0.9"}, results[0].Containers[4].Spec.Env); diff != "" {
		t.Error(diff)
	}
	order := []string{"tmpfs memory", "run rich", "create first", "start first", "wait first", "create side", "start side",
		"create other-side", "start other-side", "create second", "start second", "wait second"}
	if diff := cmp.Diff(order, f.said[:len(order)]); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(steps, "first wait for its end") || !slices.Contains(steps, " run sandbox") {
		t.Error(steps)
	}
	p, err := f.Pod("default/rich")
	if err != nil {
		t.Fatal(err)
	}
	checkModes(t, a.volumeDir(p.Spec.UID), host)

	f.said = nil
	deleted, err := a.Delete(t.Context(), []string{"rich", "never-was"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if deleted[0].Action != Deleted || deleted[1].Action != Absent {
		t.Errorf("%+v", deleted)
	}
	slices.Sort(f.said[:2])
	// first and second have a status that will not run again; the restart policy of
	// app and helper is in force.
	want = []string{"stop app 7s", "stop helper 7s", "stop other-side 7s", "stop side 7s", "stop pod", "remove pod", "unmount memory"}
	if diff := cmp.Diff(want, f.said); diff != "" {
		t.Error(diff)
	}
	if left := f.left(t, a); len(left) > 0 {
		t.Error(left)
	}
	if _, err := os.Stat(filepath.Join(host, "a/b")); err != nil {
		t.Error("a delete must leave the host's own paths:", err)
	}
}

func checkModes(t *testing.T, dir, host string) {
	t.Helper()
	for path, want := range map[string]os.FileMode{
		filepath.Dir(dir): os.ModeDir | 0o700,
		dir:               os.ModeDir | 0o700,
		dir + "/disk":     os.ModeDir | 0o777,
		dir + "/memory":   os.ModeDir | 0o777,
		dir + "/disk/x/y": os.ModeDir | 0o777,
		host + "/a/b":     os.ModeDir | 0o755,
		host + "/f":       0o644,
	} {
		st, err := os.Stat(path)
		if err != nil {
			t.Error(err)
		} else if st.Mode() != want {
			t.Errorf("%s: %v, want %v", path, st.Mode(), want)
		}
	}
}

// TestApplyLeavesNothingBehind fails each call in turn.
func TestApplyLeavesNothingBehind(t *testing.T) {
	for n := 1; ; n++ {
		f := newFake()
		f.failAt = n
		a := f.applier(t)
		host := t.TempDir()
		ms := parse(t, strings.ReplaceAll(rich, "HOST", host)+"---\n"+strings.Replace(small, "name: one", "name: b", 1))
		results, err := a.Apply(t.Context(), ms, Options{})
		if f.calls < n {
			if err != nil || len(results) != 2 {
				t.Error(results, err)
			}
			if n < 20 {
				t.Errorf("only %d calls", n)
			}
			return
		}
		if !errors.Is(err, errInjected) || results != nil {
			t.Errorf("call %d: %v %v", n, results, err)
		}
		if left := f.left(t, a); len(left) > 0 {
			t.Errorf("call %d (%s): left %v", n, err, left)
		}
		if entries, _ := os.ReadDir(host); len(entries) > 0 {
			t.Errorf("call %d: left on the host %v", n, entries)
		}
		f.failAt = 0
		if _, err := a.Apply(t.Context(), ms, Options{}); err != nil {
			t.Errorf("call %d: again: %v", n, err)
		}
	}
}

const small = `
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  containers:
  - {name: c, image: i}
`

func TestApplyKeep(t *testing.T) {
	f := newFake()
	a := f.applier(t)
	f.failAt = 3 // start
	ms := parse(t, small)
	if _, err := a.Apply(t.Context(), ms, Options{Keep: true}); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
	if len(f.pods) != 1 || len(f.all) != 1 {
		t.Error("not kept")
	}
	results, err := a.Apply(t.Context(), ms, Options{})
	if err != nil || results[0].Action != Recreated || len(f.pods) != 1 {
		t.Error(results, err)
	}
}

func TestApplyAgain(t *testing.T) {
	changed := strings.Replace(small, "image: i", "image: other", 1)
	tests := []struct {
		name    string
		second  string
		between func(f *fake)
		replace bool
		want    Action
		kind    fault.Kind
	}{
		{"unchanged", small, func(*fake) {}, false, Unchanged, 0},
		{"unchanged, replace", small, func(*fake) {}, true, Unchanged, 0},
		{"completed", small, func(f *fake) { f.all["c2"].State = lifecycle.ContainerExited }, false, Unchanged, 0},
		{"changed", changed, func(*fake) {}, false, "", fault.Conflict},
		{"changed, replace", changed, func(*fake) {}, true, Replaced, 0},
		{"stopped", small, func(f *fake) { f.pods["pod1"].State = lifecycle.PodExited }, false, Recreated, 0},
		{"half made", small, func(f *fake) { delete(f.all, "c2") }, false, Recreated, 0},
		{"not started", small, func(f *fake) { f.all["c2"].State = lifecycle.ContainerCreated }, false, Recreated, 0},
		{"someone else's", small, func(f *fake) { f.pods["pod1"].Spec.Owner = "cli" }, true, "", fault.Exists},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			a := f.applier(t)
			if _, err := a.Apply(t.Context(), parse(t, small), Options{}); err != nil {
				t.Fatal(err)
			}
			tt.between(f)
			if got := a.Stands(parse(t, tt.second)[0]); got != (tt.want == Unchanged) {
				t.Errorf("stands: %v", got)
			}
			results, err := a.Apply(t.Context(), parse(t, tt.second), Options{Replace: tt.replace})
			if tt.want == "" {
				if err == nil || fault.KindOf(err) != tt.kind || len(f.pods) != 1 {
					t.Error(results, err)
				}
				return
			}
			if err != nil || results[0].Action != tt.want || len(f.pods) != 1 || len(results[0].Containers) != 1 {
				t.Errorf("%+v %v", results, err)
			}
		})
	}
}

// TestApplyAtOnce: a repeated apply joins the first instead of failing.
func TestApplyAtOnce(t *testing.T) {
	f := newFake()
	a := f.applier(t)
	ms := parse(t, small)
	var wg sync.WaitGroup
	actions := make([]Action, 8)
	for i := range actions {
		wg.Go(func() {
			results, err := a.Apply(t.Context(), ms, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			actions[i] = results[0].Action
		})
	}
	wg.Wait()
	slices.Sort(actions)
	want := append([]Action{Created}, slices.Repeat([]Action{Unchanged}, 7)...)
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Error(diff)
	}
}

const withInit = `
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  restartPolicy: POLICY
  volumes: [{name: v}]
  initContainers: [{name: init, image: i}]
  containers: [{name: c, image: i}]
`

func TestInitFails(t *testing.T) {
	f := newFake()
	a := f.applier(t)
	f.exits["init"] = []int{3}
	f.logs["init.log"] = "one\ntwo \x1b[31mred\n"
	_, err := a.Apply(t.Context(), parse(t, strings.Replace(withInit, "POLICY", "Never", 1)), Options{})
	want := "pod default/p: init container init: exited with code 3\n  one\n  two \uFFFD[31mred"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if left := f.left(t, a); len(left) > 0 {
		t.Error(left)
	}
}

func TestInitIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a := f.applier(t)
		f.exits["init"] = []int{1, 1, 1, 0}
		begin := time.Now()
		results, err := a.Apply(t.Context(), parse(t, strings.Replace(withInit, "POLICY", "Always", 1)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if c := results[0].Containers[0]; c.Spec.Attempt != 3 || c.ExitCode != 0 || c.Spec.Restart.Policy != spec.RestartNever {
			t.Errorf("%+v", c)
		}
		if d := time.Since(begin); d != 7*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// TestApplyCancelled: giving up while an init container runs, or between two
// attempts, takes everything back.
func TestApplyCancelled(t *testing.T) {
	for name, codes := range map[string][]int{"running": {}, "between attempts": {9}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				a := f.applier(t)
				f.exits["init"] = codes
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				_, err := a.Apply(ctx, parse(t, strings.Replace(withInit, "POLICY", "OnFailure", 1)), Options{})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				if left := f.left(t, a); len(left) > 0 {
					t.Error(left)
				}
			})
		})
	}
}

func TestDelete(t *testing.T) {
	f := newFake()
	a := f.applier(t)
	both := strings.Replace(small, "name: one", "name: a", 1) + "---" + strings.Replace(small, "name: one", "name: b", 1)
	if _, err := a.Apply(t.Context(), parse(t, both), Options{}); err != nil {
		t.Fatal(err)
	}
	f.said = nil
	results, err := a.Delete(t.Context(), []string{"a", "default/b"}, new(2*time.Second), nil)
	if err != nil || len(results) != 2 || results[0].Action != Deleted || results[0].Pod != "default/a" {
		t.Errorf("%+v %v", results, err)
	}
	if !slices.Contains(f.said, "stop c 2s") {
		t.Error(f.said)
	}
	if left := f.left(t, a); len(left) > 0 {
		t.Error(left)
	}
	results, err = a.Delete(t.Context(), []string{"a"}, nil, nil)
	if err != nil || results[0].Action != Absent {
		t.Errorf("%+v %v", results, err)
	}
}

// TestDeleteGoesOn: whatever fails, a second delete finishes.
func TestDeleteGoesOn(t *testing.T) {
	for n := 1; ; n++ {
		f := newFake()
		a := f.applier(t)
		ms := parse(t, strings.ReplaceAll(rich, "HOST", t.TempDir()))
		if _, err := a.Apply(t.Context(), ms, Options{}); err != nil {
			t.Fatal(err)
		}
		f.calls, f.failAt = 0, n
		_, err := a.Delete(t.Context(), []string{"rich"}, nil, nil)
		if f.calls < n {
			return
		}
		stopFailed := n <= 4 // the sandbox's end kills such a container
		if (err == nil) != stopFailed {
			t.Errorf("call %d: %v", n, err)
		}
		if _, err := a.Delete(t.Context(), []string{"rich"}, nil, nil); err != nil {
			t.Errorf("call %d: %v", n, err)
		}
		if err := a.Sweep(func(string) bool { return false }); err != nil {
			t.Error(err)
		}
		if left := f.left(t, a); len(left) > 0 {
			t.Errorf("call %d: %v", n, left)
		}
	}
}

func TestLockGivesUp(t *testing.T) {
	a := &Applier{}
	unlock, err := a.lock(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.lock(ctx, "x"); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	unlock()
	if len(a.locks) > 0 {
		t.Error("locks stay")
	}
}
