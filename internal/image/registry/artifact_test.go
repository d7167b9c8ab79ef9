package registry

import (
	"net/http"
	"strings"
	"testing"

	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
)

// artifact puts one with files, title and content in turns, into the registry.
func (s *server) artifact(t *testing.T, repo string, files ...string) (name string) {
	t.Helper()
	m := oci.Manifest{
		MediaType: oci.MediaTypeImageManifest, ArtifactType: "application/vnd.test.model",
		Config: s.blob(t, repo, oci.MediaTypeEmptyJSON, []byte("{}")),
	}
	m.SchemaVersion = 2
	for i := 0; i < len(files); i += 2 {
		d := s.blob(t, repo, "application/octet-stream", []byte(files[i+1]))
		if files[i] != "" {
			d.Annotations = map[string]string{oci.AnnotationTitle: files[i]}
		}
		m.Layers = append(m.Layers, d)
	}
	s.put(t, "/v2/"+repo+"/manifests/1", m.MediaType, marshal(t, m))
	return s.host() + "/" + repo + ":1"
}

// An artifact becomes an image of its files; the same one is not asked for twice.
func TestArtifact(t *testing.T) {
	s := newServer(t)
	c, store := newStore(t)
	img := mustPull(t, c, s.artifact(t, "model", "weights.bin", "heavy", "conf/model.json", "{}", "", "nameless"))
	for file, want := range map[string]string{"weights.bin": "heavy", "conf/model.json": "{}"} {
		if got := fileIn(t, img, file); got != want {
			t.Errorf("%s: %q, not %q", file, got, want)
		}
	}
	if len(img.Names) != 1 || len(img.Digests) != 1 || len(img.Config.Cmd) > 0 {
		t.Errorf("image %+v", img)
	}
	again := s.artifact(t, "model", "weights.bin", "heavy", "conf/model.json", "{}", "", "nameless")
	s.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if isBlob(r) {
			t.Errorf("asked for %s again", r.URL.Path)
		}
		return false
	})
	if other := mustPull(t, c, again); other.ID != img.ID {
		t.Errorf("pulled again it is %s, not %s", other.ID, img.ID)
	}
	s.intercept(nil)
	if moved := mustPull(t, c, s.artifact(t, "copy", "weights.bin", "heavy", "conf/model.json", "{}", "", "nameless")); moved.ID != img.ID || len(moved.Names) != 2 {
		t.Errorf("the same files elsewhere are %s with names %q", moved.ID, moved.Names)
	}
	for what, files := range map[string][]string{
		"no plain name":  {"../up", "x"},
		`"/abs" is no`:   {"/abs", "x"},
		`.wh.x" is no`:   {"d/.wh.x", "x"},
		`are called "a"`: {"a", "x", "a", "y"},
		"without files":  {},
	} {
		_, err := pull(t, c, s.artifact(t, "bad", files...))
		if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v", files, err)
		}
	}
	broken := s.artifact(t, "broken", "a", strings.Repeat("a", 100_000))
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if isBlob(r) {
			_, _ = w.Write([]byte(strings.Repeat("b", 100_000)))
		}
		return isBlob(r)
	})
	if _, err := pull(t, c, broken); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "wrong digest") {
		t.Errorf("a file that is another one: %v", err)
	}
	if _, err := c.Push(t.Context(), s.host()+"/model:1", PushOptions{}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("pushed: %v", err)
	}
	if n := len(store.List()); n != 1 {
		t.Errorf("%d images", n)
	}
}
