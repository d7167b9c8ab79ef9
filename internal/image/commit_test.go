package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/archive"
	"carob/internal/fault"
	"carob/internal/status"
)

func TestCommitAddsALayer(t *testing.T) {
	s := openStore(t)
	base := mustImport(t, s, "base", file("f", "x"))
	if _, err := s.NewRootfs(t.Context(), "c", base.ID, 0); err != nil {
		t.Fatal(err)
	}
	c := NewCommitter(s)
	root, err := c.rootfs("c")
	if err != nil || len(root.Lower) != 2 || root.Lower[0] != base.Layers[0] {
		t.Fatal(root, err)
	}
	if err := os.WriteFile(root.Upper+"/own", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	changes, err := c.Changes(t.Context(), "c")
	if d := cmp.Diff([]status.Change{{Kind: "A", Path: "/own"}}, changes); err != nil || d != "" {
		t.Error(err, d)
	}
	own, err := c.Commit(t.Context(), "c", Commit{Parent: base.ID}, archive.IDs{})
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(t, own.Layers[1]); len(got) != 1 || got["own"] == "" {
		t.Errorf("the container's layer has %v", got)
	}
	layer := makeTar(t, file("g", "y"))
	img, err := c.Add(t.Context(), Commit{
		Parent: base.ID, Name: "child:1", Config: v1.ImageConfig{Cmd: []string{"g"}}, Author: "me", Comment: "why", CreatedBy: "how",
	}, bytes.NewReader(layer))
	if err != nil {
		t.Fatal(err)
	}
	if len(img.Layers) != 2 || img.Layers[0] != base.Layers[0] || img.Config.Cmd[0] != "g" || img.Names[0] != "child:1" {
		t.Errorf("got %+v", img)
	}
	tars := layerTars(t, s, "child:1")
	if !bytes.Equal(tars[1], layer) {
		t.Error("the layer's tar differs from what was committed")
	}
	text, err := s.Config(img.ID)
	if err != nil {
		t.Fatal(err)
	}
	var doc v1.Image
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.RootFS.DiffIDs) != 2 || len(doc.History) != 2 || doc.Author != "me" || doc.History[1].Comment != "why" || doc.History[1].CreatedBy != "how" {
		t.Errorf("configuration %s", text)
	}
	// The parent goes, its layer stays.
	if err := s.RemoveRootfs(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), "base"); err != nil {
		t.Fatal(err)
	}
	layerTars(t, s, "child:1")
}

func TestCommitOfNothingIsALayerToo(t *testing.T) {
	s := openStore(t)
	base := mustImport(t, s, "base", file("f", "x"))
	img, err := NewCommitter(s).Add(t.Context(), Commit{Parent: base.ID}, bytes.NewReader(makeTar(t)))
	if err != nil || len(img.Layers) != 2 || img.ID == base.ID {
		t.Error(img, err)
	}
}

func TestCommitRefuses(t *testing.T) {
	s := openStore(t)
	base := mustImport(t, s, "base", file("f", "x"))
	c := NewCommitter(s)
	_, err := c.Changes(t.Context(), "nobody")
	wantFault(t, err, fault.NotFound, "container nobody")
	_, err = c.Commit(t.Context(), "nobody", Commit{Parent: base.ID}, archive.IDs{})
	wantFault(t, err, fault.NotFound, "container nobody")
	_, err = c.Add(t.Context(), Commit{Parent: "sha256:00"}, bytes.NewReader(nil))
	wantFault(t, err, fault.NotFound, "sha256:00")
	_, err = c.Add(t.Context(), Commit{Parent: base.ID, Name: "Bad Name"}, bytes.NewReader(nil))
	wantFault(t, err, fault.Invalid, "Bad Name")
	broken := errors.New("the upper directory went away")
	_, err = c.Add(t.Context(), Commit{Parent: base.ID}, io.MultiReader(bytes.NewReader(makeTar(t, file("g", "y"))[:700]), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if n := len(s.List()); n != 1 {
		t.Errorf("%d images", n)
	}
}

// What image-spec does not know stays, what belongs to the parent's making goes.
func TestCommittedConfigurationKeepsWhatItDoesNotKnow(t *testing.T) {
	s := openStore(t)
	parent := `{"os":"linux","architecture":"amd64","author":"parent","container":"abc","docker_version":"1",
		"config":{"Healthcheck":{"Test":["CMD","true"]},"Env":["A=1"],"Cmd":["old"],"User":"1"},
		"history":[{"created_by":"x","empty_layer":true}],"rootfs":{"type":"layers","diff_ids":["sha256:aa"]}}`
	text, err := Commit{Config: v1.ImageConfig{Cmd: []string{"new"}}}.document([]byte(parent), "sha256:bb", s.now())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "created")
	history := got["history"].([]any)
	if len(history) != 3 { // one for the parent's layer, its own, the commit's
		t.Errorf("history %v", history)
	}
	delete(got, "history")
	want := map[string]any{
		"os": "linux", "architecture": "amd64", "docker_version": "1",
		"config": map[string]any{"Healthcheck": map[string]any{"Test": []any{"CMD", "true"}}, "Cmd": []any{"new"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{"sha256:aa", "sha256:bb"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
