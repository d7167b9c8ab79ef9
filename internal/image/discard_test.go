package image

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
)

func TestDiscardByDockersRules(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "a:1", file("f", "x"))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Tag(t.Context(), "a:1", "a:2"))
	must(s.Tag(t.Context(), "a:1", "b:1"))
	_, err := s.Discard(t.Context(), img.ID, false)
	wantFault(t, err, fault.Conflict, "several repositories (docker.io/library/a, docker.io/library/b)")
	removed, err := s.Discard(t.Context(), "b:1", false)
	if d := cmp.Diff([]string{"b:1"}, removed); err != nil || d != "" {
		t.Error(err, d)
	}
	_, err = s.NewRootfs(t.Context(), "c1", img.ID, 0)
	must(err)
	_, err = s.Discard(t.Context(), img.ID, false)
	wantFault(t, err, fault.Conflict, "in use by container c1")
	removed, err = s.Discard(t.Context(), img.ID, true) // it loses its names and stays
	if d := cmp.Diff([]string{"a:1", "a:2"}, removed); err != nil || d != "" {
		t.Error(err, d)
	}
	_, err = s.Discard(t.Context(), img.ID, true)
	wantFault(t, err, fault.Conflict, "in use by container c1")
	must(s.RemoveRootfs(t.Context(), "c1"))
	removed, err = s.Discard(t.Context(), img.ID[:19], false)
	if d := cmp.Diff([]string{img.ID}, removed); err != nil || d != "" {
		t.Error(err, d)
	}
	_, err = s.Discard(t.Context(), "a:1", true)
	wantFault(t, err, fault.NotFound, "a:1")
}

func TestPrune(t *testing.T) {
	s := openStore(t)
	put := func(name string, created time.Time, labels map[string]string) string {
		t.Helper()
		s.now = func() time.Time { return created }
		mustImport(t, s, name, file("f", name))
		if err := labelled(t, s, name, labels); err != nil {
			t.Fatal(err)
		}
		img, err := s.Resolve(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return img.ID
	}
	old, young := time.Unix(1000, 0), time.Unix(5000, 0)
	oldID := put("old", old, nil)
	youngID := put("young", young, map[string]string{"keep": "yes"})
	used := put("used", old, nil)
	if _, err := s.NewRootfs(t.Context(), "c", used, 0); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.RemoveRootfs(t.Context(), "c"); err != nil {
			t.Error(err)
		}
	}()
	for _, step := range []struct {
		name string
		p    Pruning
		want []string
	}{
		{"all have names", Pruning{}, nil},
		{"before a date", Pruning{All: true, Until: time.Unix(500, 0)}, nil},
		{"without a label", Pruning{All: true, Labels: []string{"keep=no"}}, nil},
		{"up to a date", Pruning{All: true, Until: time.Unix(2000, 0)}, []string{"old:latest", oldID}},
		{"but not labelled", Pruning{All: true, NotLabels: []string{"keep"}}, nil},
		{"labelled", Pruning{All: true, Labels: []string{"keep=yes"}}, []string{"young:latest", youngID}},
		{"all that are left are in use", Pruning{All: true}, nil},
	} {
		before := len(listDir(t, s.root.layers()))
		removed, freed, err := s.Prune(t.Context(), step.p)
		if d := cmp.Diff(step.want, removed); err != nil || d != "" {
			t.Errorf("%s: %v %s", step.name, err, d)
		}
		if gone := len(listDir(t, s.root.layers())) < before; gone != (freed > 0) {
			t.Errorf("%s: %d bytes freed, layers went: %v", step.name, freed, gone)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := s.Prune(ctx, Pruning{All: true})
	wantFault(t, err, fault.Unavailable, "canceled")
}

// labelled writes labels into the index, where importing leaves them empty.
func labelled(t *testing.T, s *Store, name string, labels map[string]string) error {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commitLocked(func(st *state, next *index) error {
		id, _, err := st.find(name)
		r := next.Images[id]
		r.Config = v1.ImageConfig{Labels: labels}
		next.Images[id] = r
		return err
	})
}

func TestUsageCountsSharedLayersOnce(t *testing.T) {
	s := openStore(t)
	base, top := makeTar(t, file("base", "x")), makeTar(t, file("top", "y"))
	one := loadLayers(t, s, base)
	two := loadLayers(t, s, base, top)
	if _, err := s.NewRootfs(t.Context(), "c", two.ID, 0); err != nil {
		t.Fatal(err)
	}
	u, err := s.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if u.Layers != two.Size || u.Layers <= one.Size {
		t.Errorf("layers take %d bytes, the images %d and %d", u.Layers, one.Size, two.Size)
	}
	for _, i := range u.Images {
		want, users := int64(0), []string(nil)
		if i.Image.ID == two.ID {
			want, users = two.Size-one.Size, []string{"c"}
		}
		if i.Unique != want || !cmp.Equal(i.Containers, users) {
			t.Errorf("image %s: %d bytes of its own (want %d), containers %v", i.Image.ID, i.Unique, want, i.Containers)
		}
	}
	if _, ok := u.Writable["c"]; !ok || len(u.Writable) != 1 {
		t.Errorf("writable layers %v", u.Writable)
	}
	if err := s.RemoveRootfs(t.Context(), "c"); err != nil {
		t.Error(err)
	}
}
