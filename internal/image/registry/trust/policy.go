// Package trust decides whether an image may be pulled: by a policy in the form of
// containers-policy.json(5), and by cosign's signatures, checked offline with public keys
// that the policy names. It asks nobody and fetches nothing; key files are all that it
// reads.
//
// A policy is read strictly: what is not known here is refused, because a rule that is
// skipped would let in what it was to keep out.
package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"carob/internal/fault"
	"carob/internal/ref"
)

// Policy says what is required of an image by its name. The zero value requires nothing.
type Policy struct {
	defaults rules
	scopes   map[string]rules // registry, registry/path, that with :tag or @digest, or *.domain
}

// rules must all be kept. No rule at all means that nothing may be pulled.
type rules []rule

type rule struct {
	Type           string    `json:"type"`
	KeyPath        string    `json:"keyPath"`
	KeyPaths       []string  `json:"keyPaths"`
	KeyData        []byte    `json:"keyData"`
	KeyDatas       [][]byte  `json:"keyDatas"`
	SignedIdentity *identity `json:"signedIdentity"`
}

// identity says which name must be signed.
type identity struct {
	Type             string `json:"type"`
	DockerRepository string `json:"dockerRepository"`
	DockerReference  string `json:"dockerReference"`
}

// matchDigest is the identity that wants no name but the digest alone: what cosign 3
// signs. It is carob's own; the names in containers-policy.json(5) all want one.
const matchDigest = "matchDigest"

// The rules that are known.
const (
	acceptAnything = "insecureAcceptAnything"
	rejectAll      = "reject"
	signed         = "sigstoreSigned"
)

// maxPolicy bounds the file, which people write.
const maxPolicy = 1 << 20

// Parse reads a policy. Invalid is one that cannot be right, Unsupported one that requires
// what is not checked here.
func Parse(r io.Reader) (Policy, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPolicy+1))
	if err != nil {
		return Policy{}, err
	}
	if len(text) > maxPolicy {
		return Policy{}, fault.New(fault.Invalid, "larger than any policy")
	}
	var f struct {
		Default    rules                       `json:"default"`
		Transports map[string]map[string]rules `json:"transports"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Policy{}, fault.Wrap(fault.Invalid, "", err)
	}
	if f.Default == nil {
		return Policy{}, fault.New(fault.Invalid, `"default" is missing`)
	}
	p := Policy{defaults: f.Default, scopes: f.Transports["docker"]}
	if scope, ok := p.scopes[""]; ok {
		p.defaults = scope // the whole transport
	}
	if err := p.defaults.check(); err != nil {
		return Policy{}, fmt.Errorf("default: %w", err)
	}
	for name, rs := range p.scopes {
		if err := rs.check(); err != nil {
			return Policy{}, fmt.Errorf("transports.docker.%q: %w", name, err)
		}
	}
	return p, nil
}

func (rs rules) check() error {
	if len(rs) == 0 {
		return fault.New(fault.Invalid, "no requirement; reject is one")
	}
	for _, r := range rs {
		switch r.Type {
		case acceptAnything, rejectAll:
		case signed:
			if err := r.checkSigned(); err != nil {
				return err
			}
		default:
			return fault.New(fault.Unsupported, fmt.Sprintf("requirement %q is not checked here; %s, %s and %s are", r.Type, acceptAnything, rejectAll, signed))
		}
	}
	return nil
}

func (r rule) checkSigned() error {
	ways := 0
	for _, given := range []bool{r.KeyPath != "", len(r.KeyPaths) > 0, len(r.KeyData) > 0, len(r.KeyDatas) > 0} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return fault.New(fault.Invalid, signed+": give one of keyPath, keyPaths, keyData, keyDatas")
	}
	if r.SignedIdentity == nil {
		return nil
	}
	switch i := *r.SignedIdentity; i.Type {
	case "matchRepository", "matchRepoDigestOrExact", matchDigest:
		return nil
	case "exactRepository":
		if i.DockerRepository != "" {
			return nil
		}
	case "exactReference":
		if i.DockerReference != "" {
			return nil
		}
	default:
		return fault.New(fault.Unsupported, fmt.Sprintf("signedIdentity %q is not checked here", i.Type))
	}
	return fault.New(fault.Invalid, "signedIdentity: the name is missing")
}

// For returns what is required of an image: by its tag or digest, which counts if there are
// both, else by its repository, the longest path above it, its registry, a *.domain above
// that, or the default (containers-policy.json(5), "docker:").
func (p Policy) For(r ref.Ref) Requirement {
	if p.defaults == nil {
		return Requirement{}
	}
	own := r.Name() + ":" + r.Tag
	if r.Digest != "" {
		own = r.Name() + "@" + r.Digest
	}
	if rs, ok := p.scopes[own]; ok {
		return Requirement{rs, r}
	}
	for name := r.Name(); ; {
		if rs, ok := p.scopes[name]; ok {
			return Requirement{rs, r}
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			break
		}
		name = name[:i]
	}
	host := r.Registry
	for {
		_, rest, ok := strings.Cut(host, ".")
		if !ok {
			return Requirement{p.defaults, r}
		}
		if rs, ok := p.scopes["*."+rest]; ok {
			return Requirement{rs, r}
		}
		host = rest
	}
}

// Requirement is what the policy wants of one image.
type Requirement struct {
	rules rules
	ref   ref.Ref
}

// NeedsSignatures tells whether signatures have to be fetched for Check.
func (q Requirement) NeedsSignatures() bool {
	for _, r := range q.rules {
		if r.Type == signed {
			return true
		}
	}
	return false
}

// ErrSignature is in what Check returns for want of a signature.
var ErrSignature = errors.New("the policy requires a signature")

// Check holds an image against the policy: digests are what its name led to and its
// manifest, either of which may be signed. readFile reads key files. Denied says what is
// missing.
func (q Requirement) Check(digests []string, signatures []Signature, readFile func(string) ([]byte, error)) error {
	for _, r := range q.rules {
		switch r.Type {
		case rejectAll:
			return fault.New(fault.Denied, "the policy lets nothing be pulled from "+q.ref.Name())
		case signed:
			if err := q.checkSigned(r, digests, signatures, readFile); err != nil {
				return err
			}
		}
	}
	return nil
}

func (q Requirement) checkSigned(r rule, digests []string, signatures []Signature, readFile func(string) ([]byte, error)) error {
	keys, err := r.keys(readFile)
	if err != nil {
		return fault.Wrap(fault.Invalid, "policy", err)
	}
	var why []error
	for _, s := range signatures {
		claims, err := s.claims(keys)
		for _, c := range claims {
			if err = q.fits(r.SignedIdentity, digests, c); err == nil {
				return nil
			}
		}
		why = append(why, err)
	}
	if len(why) == 0 {
		why = []error{errors.New("it has none")}
	}
	return fault.Wrap(fault.Denied, "", fmt.Errorf("%w of %s: %w", ErrSignature, q.ref.Name(), why[0]))
}
