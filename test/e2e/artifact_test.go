package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestArtifact pulls what is no image, and gives its files to a container.
func TestArtifact(t *testing.T) {
	h := startOwn(t)
	s := newServer(t)
	put := func(path, mediaType, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.host()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", mediaType)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusCreated {
			t.Fatalf("PUT %s: %s, %v", path, answer.Status, err)
		}
	}
	const empty, weights, manifest = "{}", "0.5 0.25", "application/vnd.oci.image.manifest.v1+json"
	for _, b := range []string{empty, weights} {
		put("/v2/model/blobs/uploads/1?digest="+digest.FromString(b).String(), "application/octet-stream", b)
	}
	put("/v2/model/manifests/1", manifest, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/vnd.test.model",
		"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":%d},
		"layers":[{"mediaType":"application/octet-stream","digest":%q,"size":%d,"annotations":{"org.opencontainers.image.title":"weights"}}]}`,
		manifest, digest.FromString(empty), len(empty), digest.FromString(weights), len(weights)))

	name := s.host() + "/model:1"
	if r := h.run("pull", name); r.code != 0 || !strings.Contains(r.err, "application/vnd.test.model") {
		t.Fatalf("pull: %s", r.err)
	}
	if out := h.ok("run", "--rm", "--mount", "type=image,source="+name+",target=/m", image, "cat", "/m/weights"); out != weights {
		t.Errorf("in the container: %q", out)
	}
	if r := h.code(125, "run", "--rm", name); !strings.Contains(r.err, "no command") {
		t.Errorf("run: %s", r.err)
	}
	if r := h.code(1, "push", name); !strings.Contains(r.err, "artifact") {
		t.Errorf("push: %s", r.err)
	}
	h.ok("rmi", name)
}
