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
	// Bundle is a sigstore bundle; without one the other two say it.
	Bundle []byte
	// Payload is signed by Base64.
	Payload []byte
	Base64  string
}

// claim is what a signature says: that the image with a digest is called so. In bundles
// the name is mostly empty.
type claim struct{ digest, name string }

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

// keyring are public keys, any of which will do.
type keyring []crypto.PublicKey

// keys reads the rule's public keys.
func (r rule) keys(readFile func(string) ([]byte, error)) (keyring, error) {
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
	var keys keyring
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

// made tells whether one of the keys made the signature of a message.
func (keys keyring) made(sig, message []byte) bool {
	sum := sha256.Sum256(message)
	for _, k := range keys {
		ok := false
		switch k := k.(type) {
		case *ecdsa.PublicKey:
			ok = ecdsa.VerifyASN1(k, sum[:], sig)
		case ed25519.PublicKey:
			ok = ed25519.Verify(k, message, sig)
		case *rsa.PublicKey:
			ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
		}
		if ok {
			return true
		}
	}
	return false
}

// claims verifies the signature and returns what it says.
func (s Signature) claims(keys keyring) ([]claim, error) {
	if s.Bundle != nil {
		var b bundle
		if err := json.Unmarshal(s.Bundle, &b); err != nil {
			return nil, fmt.Errorf("a bundle is no JSON: %w", err)
		}
		return b.open(keys)
	}
	sig, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil {
		return nil, errors.New("a signature is no base64")
	}
	if !keys.made(sig, s.Payload) {
		return nil, errForeign
	}
	var p payload
	if err := json.Unmarshal(s.Payload, &p); err != nil {
		return nil, fmt.Errorf("a signed payload is no JSON: %w", err)
	}
	if p.Critical.Type != payloadKind {
		return nil, fmt.Errorf("a signature is a %.60q", p.Critical.Type)
	}
	return []claim{{digest: p.Critical.Image.Digest, name: p.Critical.Identity.DockerReference}}, nil
}

// fits tells whether a claim speaks of this image.
func (q Requirement) fits(want *identity, digests []string, c claim) error {
	if !slices.Contains(digests, c.digest) {
		return fmt.Errorf("what is signed is %.100s, not this image", c.digest)
	}
	if want != nil && want.Type == matchDigest {
		return nil
	}
	if c.name == "" {
		return errors.New(`what is signed has no name, as cosign 3 signs it; a signedIdentity of type "` + matchDigest + `" accepts that`)
	}
	name, err := ref.Parse(c.name)
	if err != nil {
		return fmt.Errorf("a signature is for no name: %w", err)
	}
	return q.named(want, name, c.name)
}

// named tells whether the signed name is the one that is wanted. By default that is what the
// policy format calls matchRepoDigestOrExact: an image named by a tag must have been signed
// by that tag. A signature of the repository alone, which is what cosign makes, would let whoever can
// write to the registry put a tag on any image that was ever signed.
func (q Requirement) named(want *identity, name ref.Ref, text string) error {
	kind := "matchRepoDigestOrExact"
	if want != nil {
		kind = want.Type
	}
	var fits bool
	switch kind {
	case "exactRepository":
		r, err := ref.Parse(want.DockerRepository)
		fits = err == nil && r.Name() == name.Name()
	case "exactReference":
		r, err := ref.Parse(want.DockerReference)
		fits = err == nil && r == name
	case "matchRepository":
		fits = name.Name() == q.ref.Name()
	default:
		fits = name.Name() == q.ref.Name()
		bare, err := ref.Parse(text + ":x") // is there a tag in the text?
		switch {
		case !fits || q.ref.Digest != "":
		case err == nil && bare.Tag == "x":
			return fmt.Errorf("what is signed is %.200s without a tag, as cosign signs it; a signedIdentity of type \"matchRepository\" accepts that for all tags", text)
		default:
			fits = name.Tag == q.ref.Tag
		}
	}
	if !fits {
		return fmt.Errorf("what is signed is called %.200s", name.Familiar())
	}
	return nil
}
