package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// How cosign keeps signatures since version 3: as artifacts that name the image as their
// subject, each with one layer, a sigstore bundle, around a DSSE envelope, around an
// in-toto statement about digests.
const (
	// BundleType begins the media type of such an artifact and of its layer.
	BundleType = "application/vnd.dev.sigstore.bundle"
	// ArtifactType is that of artifacts which hold payloads as under a tag.
	ArtifactType = "application/vnd.dev.cosign.artifact.sig.v1+json"

	statementType = "application/vnd.in-toto+json"
	statementKind = "https://in-toto.io/Statement/v"
	// predicate is a signature's. Others are attestations: whoever signs that an image was
	// scanned has not said that it may be run.
	predicate = "https://sigstore.dev/cosign/sign/v1"
)

// bundle is what is read of a sigstore bundle: a key of the policy needs neither its
// certificate nor its entries in logs.
type bundle struct {
	Envelope *struct {
		Type       string `json:"payloadType"`
		Payload    []byte `json:"payload"`
		Signatures []struct {
			Sig []byte `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
}

type statement struct {
	Kind      string `json:"_type"`
	Predicate string `json:"predicateType"`
	Subject   []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
}

// maxEnvelopeSignatures bounds how many signatures of one envelope are tried.
const maxEnvelopeSignatures = 10

// open verifies a bundle and returns what is said in it.
func (b bundle) open(keys keyring) (all []claim, err error) {
	e := b.Envelope
	switch {
	case e == nil:
		return nil, errors.New("a bundle has no DSSE envelope")
	case e.Type != statementType:
		return nil, fmt.Errorf("a bundle holds a %.100q", e.Type)
	case len(e.Signatures) > maxEnvelopeSignatures:
		return nil, errors.New("a bundle has more signatures than anybody makes")
	}
	known := false
	for _, s := range e.Signatures {
		known = known || keys.made(s.Sig, preAuth(e.Type, e.Payload))
	}
	if !known {
		return nil, errForeign
	}
	var st statement
	if err := json.Unmarshal(e.Payload, &st); err != nil {
		return nil, fmt.Errorf("a signed statement is no JSON: %w", err)
	}
	if !strings.HasPrefix(st.Kind, statementKind) || st.Predicate != predicate {
		return nil, fmt.Errorf("what is signed is an attestation (%.100s), not a signature", st.Predicate)
	}
	if len(st.Subject) == 0 {
		return nil, errors.New("what is signed names nothing")
	}
	for _, s := range st.Subject {
		all = append(all, claim{digest: "sha256:" + s.Digest["sha256"], name: s.Name})
	}
	return all, nil
}

// preAuth is what a DSSE envelope's signature is made of: PAE(type, body).
func preAuth(kind string, body []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(body), body)
}
