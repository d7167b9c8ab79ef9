package registry

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	oci "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// put gives the registry a blob or a manifest, and returns its descriptor.
func (s *server) put(t *testing.T, path, mediaType string, body []byte) oci.Descriptor {
	t.Helper()
	r := request(t, "PUT", path, body)
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	s.under.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("PUT %s: %d %s", path, w.Code, w.Body)
	}
	return oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
}

func (s *server) blob(t *testing.T, repo, mediaType string, body []byte) oci.Descriptor {
	t.Helper()
	return s.put(t, fmt.Sprintf("/v2/%s/blobs/uploads/1?digest=%s", repo, digest.FromBytes(body)), mediaType, body)
}

// bundle makes a signature as cosign 3 does: a statement in an envelope in a bundle.
func (s signer) bundle(t *testing.T, subject, name, predicate string) []byte {
	t.Helper()
	statement := marshal(t, map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate, "predicate": map[string]any{},
		"subject": []any{map[string]any{"name": name, "digest": map[string]string{"sha256": strings.TrimPrefix(subject, "sha256:")}}},
	})
	const kind = "application/vnd.in-toto+json"
	message, opts := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(statement), statement), crypto.SignerOpts(crypto.Hash(0))
	if _, ed := s.key.(ed25519.PrivateKey); !ed {
		sum := sha256.Sum256(message)
		message, opts = sum[:], crypto.SHA256
	}
	sig, err := s.key.Sign(rand.Reader, message, opts)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, map[string]any{
		"mediaType":            bundleType,
		"verificationMaterial": map[string]any{"publicKey": map[string]string{"hint": "any"}, "tlogEntries": []any{}},
		"dsseEnvelope":         map[string]any{"payload": statement, "payloadType": kind, "signatures": []any{map[string]any{"sig": sig}}},
	})
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refer puts an artifact with a bundle beside the image, and where the registry keeps no
// list of referrers into the tag that clients keep, annotations lost as cosign loses them.
func (s *server) refer(t *testing.T, repo string, subject digest.Digest, bundle []byte, listed bool) {
	t.Helper()
	m := oci.Manifest{
		MediaType: oci.MediaTypeImageManifest, ArtifactType: bundleType,
		Config:  s.blob(t, repo, oci.MediaTypeEmptyJSON, []byte("{}")),
		Layers:  []oci.Descriptor{s.blob(t, repo, bundleType, bundle)},
		Subject: &oci.Descriptor{MediaType: oci.MediaTypeImageManifest, Digest: subject, Size: 1},
	}
	m.SchemaVersion = 2
	text := marshal(t, m)
	d := s.put(t, "/v2/"+repo+"/manifests/"+digest.FromBytes(text).String(), m.MediaType, text)
	if listed {
		return
	}
	d.ArtifactType = bundleType
	x := oci.Index{MediaType: oci.MediaTypeImageIndex, Manifests: []oci.Descriptor{d}}
	x.SchemaVersion = 2
	s.put(t, "/v2/"+repo+"/manifests/"+strings.Replace(subject.String(), ":", "-", 1), x.MediaType, marshal(t, x))
}

// Signatures of cosign 3 are found and checked, where the registry lists what refers to
// an image and where it does not.
func TestBundles(t *testing.T) {
	const sign = "https://sigstore.dev/cosign/sign/v1"
	for _, way := range []struct {
		name   string
		listed bool
		key    func(*testing.T) crypto.Signer
	}{{"list of referrers", true, ecdsaKey}, {"tag", false, edKey}} {
		t.Run(way.name, func(t *testing.T) {
			s := newServer(t)
			s.under = registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(way.listed))
			mine, other := newSigner(t, way.key(t)), newSigner(t, way.key(t))
			for _, c := range []struct {
				name, words string
				identity    map[string]any
				bundle      func(digest string) []byte
			}{
				{"good", "", map[string]any{"type": "matchDigest"}, func(d string) []byte { return mine.bundle(t, d, "", sign) }},
				{"named", "", nil, func(d string) []byte { return mine.bundle(t, d, s.host()+"/named:1", sign) }},
				{"tagless", `type "matchRepository" accepts`, nil, func(d string) []byte { return mine.bundle(t, d, s.host()+"/tagless", sign) }},
				{"renamed", "is called", nil, func(d string) []byte { return mine.bundle(t, d, s.host()+"/named", sign) }},
				{"nameless", `type "matchDigest" accepts`, nil, func(d string) []byte { return mine.bundle(t, d, "", sign) }},
				{"foreign", "no key of the policy", map[string]any{"type": "matchDigest"}, func(d string) []byte { return other.bundle(t, d, "", sign) }},
				{"moved", "not this image", map[string]any{"type": "matchDigest"}, func(string) []byte { return mine.bundle(t, strings.Repeat("0", 64), "", sign) }},
				{"scanned", "attestation", map[string]any{"type": "matchDigest"}, func(d string) []byte { return mine.bundle(t, d, "", "https://cosign.sigstore.dev/attestation/vuln/v1") }},
				{"broken", "no JSON", map[string]any{"type": "matchDigest"}, func(string) []byte { return []byte("{") }},
				{"message", "no DSSE envelope", map[string]any{"type": "matchDigest"}, func(string) []byte { return []byte(`{"messageSignature":{}}`) }},
			} {
				m := imageOf(t, layerOf(t, files{c.name: "1"}))
				name := s.upload(t, c.name+":1", m)
				d, err := m.Digest()
				if err != nil {
					t.Fatal(err)
				}
				s.refer(t, c.name, digest.Digest(d.String()), c.bundle(d.String()), way.listed)
				client := newClient(t)
				rule := map[string]any{"type": "sigstoreSigned", "keyPath": mine.file}
				if c.identity != nil {
					rule["signedIdentity"] = c.identity
				}
				policyFor(t, client, s.host(), rule)
				_, err = pull(t, client, name)
				if c.words == "" && err != nil || c.words != "" && (!fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), c.words)) {
					t.Errorf("%s: %v; want %q", c.name, err, c.words)
				}
			}
		})
	}
}
