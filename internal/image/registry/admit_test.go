package registry

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"carob/internal/fault"
	"carob/internal/image/registry/trust"
)

// signer signs as cosign does.
type signer struct {
	key  crypto.Signer
	file string // of the public key
}

func newSigner(t *testing.T, key crypto.Signer) signer {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	s := signer{key, filepath.Join(t.TempDir(), "cosign.pub")}
	if err := os.WriteFile(s.file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func ecdsaKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func edKey(t *testing.T) crypto.Signer {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// sign puts a signature of the digest beside the image in the repository.
func (s signer) sign(t *testing.T, to *server, repo, digest, name string) {
	t.Helper()
	text := []byte(fmt.Sprintf(`{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, name, digest))
	message, opts := text, crypto.SignerOpts(crypto.Hash(0))
	if _, ed := s.key.(ed25519.PrivateKey); !ed {
		sum := sha256.Sum256(text)
		message, opts = sum[:], crypto.SHA256
	}
	sig, err := s.key.Sign(rand.Reader, message, opts)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:       static.NewLayer(text, trust.PayloadType),
		Annotations: map[string]string{trust.SignatureAnnotation: base64.StdEncoding.EncodeToString(sig)},
	})
	if err != nil {
		t.Fatal(err)
	}
	to.upload(t, repo+":"+strings.Replace(digest, ":", "-", 1)+".sig", m)
}

// policyFor gives the client a policy for the registry.
func policyFor(t *testing.T, c *Client, host string, rule map[string]any) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"default":    []any{map[string]string{"type": "reject"}},
		"transports": map[string]any{"docker": map[string]any{host: []any{rule}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(t.TempDir(), "policy.json")
	c.Use(Files{Dir: c.c.Dir, Policy: policy})
	if err := os.WriteFile(policy, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPolicy(t *testing.T) {
	digestOf := func(m v1.Image) string { d, _ := m.Digest(); return d.String() } // in memory
	for _, key := range []struct {
		name string
		new  func(*testing.T) crypto.Signer
	}{{"ecdsa", ecdsaKey}, {"ed25519", edKey}} {
		t.Run(key.name, func(t *testing.T) {
			s := newServer(t)
			mine, other := newSigner(t, key.new(t)), newSigner(t, key.new(t))
			images := map[string]string{}
			for _, n := range []string{"good", "unsigned", "foreign", "moved", "renamed"} {
				m := imageOf(t, layerOf(t, files{n: n}))
				images[n] = s.upload(t, n+":1", m)
				repo := s.host() + "/" + n
				switch n {
				case "good":
					mine.sign(t, s, n, digestOf(m), repo)
				case "foreign":
					other.sign(t, s, n, digestOf(m), repo)
				case "moved": // the signature of another image under this one's tag
					mine.sign(t, s, n, "sha256:"+strings.Repeat("0", 64), repo)
					s.copyTag(t, n, strings.Repeat("0", 64), strings.TrimPrefix(digestOf(m), "sha256:"))
				case "renamed":
					mine.sign(t, s, n, digestOf(m), s.host()+"/good")
				}
			}
			c := newClient(t)
			policyFor(t, c, s.host(), map[string]any{"type": "sigstoreSigned", "keyPath": mine.file, "signedIdentity": map[string]string{"type": "matchRepository"}})
			for n, words := range map[string]string{
				"good": "", "unsigned": "it has none", "foreign": "no key of the policy", "moved": "not this image", "renamed": "is called",
			} {
				blobs := s.count(func(r string) bool { return strings.Contains(r, "/v2/"+n+"/blobs") && strings.HasPrefix(r, "GET") })
				_, err := pull(t, c, images[n])
				if words == "" && err != nil || words != "" && (!fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), words)) {
					t.Errorf("%s: %v; want %q", n, err, words)
				}
				now := s.count(func(r string) bool { return strings.Contains(r, "/v2/"+n+"/blobs") && strings.HasPrefix(r, "GET") })
				if words != "" && now-blobs > 2 { // the configuration and a payload
					t.Errorf("%s: %d blobs were asked for before it was refused", n, now-blobs)
				}
			}
			if _, err := pull(t, c, "registry.invalid/x"); !fault.Is(err, fault.Denied) {
				t.Errorf("a registry that the policy rejects: %v", err)
			}
		})
	}
}

// copyTag gives the signature of one digest the tag of another.
func (s *server) copyTag(t *testing.T, repo, from, to string) {
	t.Helper()
	w := &recorded{header: map[string][]string{}}
	s.under.ServeHTTP(w, request(t, "GET", "/v2/"+repo+"/manifests/sha256-"+from+".sig", nil))
	r := request(t, "PUT", "/v2/"+repo+"/manifests/sha256-"+to+".sig", w.body)
	r.Header.Set("Content-Type", w.header.Get("Content-Type"))
	s.under.ServeHTTP(&recorded{header: map[string][]string{}}, r)
}
