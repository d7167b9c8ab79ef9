package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"carob/internal/fault"
	"carob/internal/store"
)

type record struct {
	N    int
	Text string
}

func open(t testing.TB) (*store.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func load(s *store.Store, kind string) (got []string, err error) {
	err = s.Load(kind, func(id string, raw []byte) error {
		got = append(got, id+" "+string(raw))
		return nil
	})
	return got, err
}

func TestPutLoadDelete(t *testing.T) {
	s, dir := open(t)
	if got, err := load(s, "pod"); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	for i, id := range []string{"b", "a", "b"} {
		if err := s.Put("pod", id, record{N: i}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, dir + "/pod": 0o700, dir + "/pod/a.json": 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	again, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := load(again, "pod")
	if want := []string{`a {"N":1,"Text":""}`, `b {"N":2,"Text":""}`}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for range 2 {
		if err := s.Delete("pod", "a"); err != nil {
			t.Error(err)
		}
	}
	if got, _ := load(s, "pod"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestDamageHidesNothing(t *testing.T) {
	s, dir := open(t)
	for _, id := range []string{"a", "b", "c"} {
		if err := s.Put("pod", id, record{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"b.json": `{"N":`, "d.json.tmp": "{", "note.txt": "x", "x y.json": "{}"} {
		if err := os.WriteFile(filepath.Join(dir, "pod", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wrong := errors.New("wrong")
	var got []string
	err := s.Load("pod", func(id string, _ []byte) error {
		got = append(got, id)
		if id == "c" {
			return wrong
		}
		return nil
	})
	if !slices.Equal(got, []string{"a", "c"}) || !errors.Is(err, wrong) {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"b.json: is damaged", "note.txt", "x y.json", "c.json"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "pod", "d.json.tmp")); !os.IsNotExist(err) {
		t.Error("litter stays")
	}
}

func TestKeysArePlainNames(t *testing.T) {
	s, _ := open(t)
	for _, bad := range []string{"", "../x", "a/b", ".", "a.b", strings.Repeat("x", 129), "a\x00"} {
		for _, err := range []error{s.Put("pod", bad, 1), s.Put(bad, "a", 1), s.Delete("pod", bad), s.Delete(bad, "a"), s.Load(bad, nil)} {
			if bad != "" && err == nil || !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	if err := s.Put("pod", "a", func() {}); err == nil {
		t.Error("a function is no document")
	}
}

func TestFailedPutLeavesTheOldRecord(t *testing.T) {
	s, dir := open(t)
	if err := s.Put("pod", "a", record{N: 1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "pod", "a.json.tmp"), 0o700); err != nil { // no file can be written there
		t.Fatal(err)
	}
	if err := s.Put("pod", "a", record{N: 2}); err == nil {
		t.Error("a Put that cannot be")
	}
	if got, err := load(s, "pod"); err != nil || len(got) != 1 || !strings.Contains(got[0], `"N":1`) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWritersTakeTurns(t *testing.T) {
	s, _ := open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				if err := s.Put("pod", "a", record{i, strings.Repeat("x", 100*i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := load(s, "pod"); err != nil || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func BenchmarkPut(b *testing.B) {
	s, _ := open(b)
	n := 0
	for b.Loop() {
		n++
		if err := s.Put("pod", fmt.Sprintf("%064x", n%100), record{n, strings.Repeat("x", 2000)}); err != nil {
			b.Fatal(err)
		}
	}
}
