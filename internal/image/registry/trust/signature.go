package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"carob/internal/ref"
)

// How cosign keeps signatures in a registry: an image under the tag sha256-HEX.sig whose
// layers are payloads, each with its signature as an annotation.
const (
	// PayloadType is the layers' media type.
	PayloadType = "application/vnd.dev.cosign.simplesigning.v1+json"
	// SignatureAnnotation holds the signature in base64.
	SignatureAnnotation = "dev.cosignproject.cosign/signature"
)

// Signature is one of cosign's, as a registry gives it: not yet believed.
type Signature struct {
	Payload []byte
	// Base64 is the signature of the payload.
	Base64 string
}

// payload is the format of atomic's simple signing, which cosign uses.
type payload struct {
	Critical struct {
		Identity struct {
			DockerReference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
}

const payloadKind = "cosign container image signature"

// keys reads the rule's public keys.
func (r rule) keys(readFile func(string) ([]byte, error)) ([]crypto.PublicKey, error) {
	texts := slices.Concat([][]byte{}, r.KeyDatas)
	if len(r.KeyData) > 0 {
		texts = append(texts, r.KeyData)
	}
	paths := r.KeyPaths
	if r.KeyPath != "" {
		paths = append(paths, r.KeyPath)
	}
	for _, path := range paths {
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	var keys []crypto.PublicKey
	for _, text := range texts {
		k, err := parseKey(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func parseKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("a key is no PEM of a PUBLIC KEY, as cosign generate-key-pair writes it")
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch k.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PublicKey:
		return k, nil
	}
	return nil, fmt.Errorf("keys of type %T are not read", k)
}

var errForeign = errors.New("no key of the policy made its signatures")

// verify tells whether one of the keys signed the payload.
func (s Signature) verify(keys []crypto.PublicKey) error {
	sig, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil {
		return errors.New("a signature is no base64")
	}
	sum := sha256.Sum256(s.Payload)
	for _, k := range keys {
		ok := false
		switch k := k.(type) {
		case *ecdsa.PublicKey:
			ok = ecdsa.VerifyASN1(k, sum[:], sig)
		case ed25519.PublicKey:
			ok = ed25519.Verify(k, s.Payload, sig)
		case *rsa.PublicKey:
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
		}
		if ok {
			return nil
		}
	}
	return errForeign
}

// fits tells whether a verified payload speaks of this image.
func (q Requirement) fits(want *identity, digests []string, s Signature) error {
	var p payload
	if err := json.Unmarshal(s.Payload, &p); err != nil {
		return fmt.Errorf("a signed payload is no JSON: %w", err)
	}
	switch c := p.Critical; {
	case c.Type != payloadKind:
		return fmt.Errorf("a signature is a %.60q", c.Type)
	case !slices.Contains(digests, c.Image.Digest):
		return fmt.Errorf("what is signed is %.100s, not this image", c.Image.Digest)
	}
	name, err := ref.Parse(p.Critical.Identity.DockerReference)
	if err != nil {
		return fmt.Errorf("a signature is for no name: %w", err)
	}
	if !q.named(want, name, p.Critical.Identity.DockerReference) {
		return fmt.Errorf("what is signed is called %.200s", name.Familiar())
	}
	return nil
}

// named tells whether the signed name is the one that is wanted. cosign signs the
// repository without a tag, so that a tag is compared only where one is signed.
func (q Requirement) named(want *identity, name ref.Ref, text string) bool {
	kind := "matchRepoDigestOrExact"
	if want != nil {
		kind = want.Type
	}
	switch kind {
	case "exactRepository":
		r, err := ref.Parse(want.DockerRepository)
		return err == nil && r.Name() == name.Name()
	case "exactReference":
		r, err := ref.Parse(want.DockerReference)
		return err == nil && r == name
	case "matchRepository":
		return name.Name() == q.ref.Name()
	}
	tagless := ref.Ref{Registry: name.Registry, Path: name.Path}
	bare, err := ref.Parse(text + ":x") // is there a tag in the text?
	if err == nil && bare.Tag == "x" {
		return tagless.Name() == q.ref.Name()
	}
	return name.Name() == q.ref.Name() && (q.ref.Digest != "" || name.Tag == q.ref.Tag)
}
