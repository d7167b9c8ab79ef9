package registry

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/registry/trust"
	"carob/internal/ref"
)

// The bounds of what is read of signatures.
const (
	maxSignatures = 100
	maxPayload    = 1 << 20
)

// CheckPolicy reads a policy's file as a pull would; one that is missing is an error here.
func CheckPolicy(path string) error {
	if _, err := os.Stat(path); err != nil {
		return fault.Wrap(fault.NotFound, "policy", err)
	}
	_, err := readPolicy(path)
	return err
}

func readPolicy(path string) (trust.Policy, error) {
	if path == "" {
		return trust.Policy{}, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return trust.Policy{}, nil
	}
	if err != nil {
		return trust.Policy{}, fault.Wrap(fault.Invalid, "policy", err)
	}
	defer func() { _ = f.Close() }() // only read from
	p, err := trust.Parse(f)
	return p, fault.Wrap(fault.KindOf(err), "policy "+path, err)
}

// required is what the policy wants of an image; Denied when nothing could satisfy it.
func (c *Client) required(r ref.Ref) (trust.Requirement, error) {
	p, err := readPolicy(c.c.Policy)
	if err != nil {
		return trust.Requirement{}, err
	}
	q := p.For(r)
	if !q.NeedsSignatures() {
		err = q.Check(nil, nil, os.ReadFile)
	}
	return q, err
}

// admit holds what was found against the policy, before any layer is asked for. What the
// name led to may be signed, or the manifest that was chosen from it.
func (s *session) admit(ctx context.Context, q trust.Requirement, f found) error {
	if !q.NeedsSignatures() {
		return nil
	}
	ctx, cancel := context.WithTimeout(quiet(ctx), s.pace.Answer)
	defer cancel()
	digests := []string{f.top.String()}
	if d := digest.FromBytes(f.text); d != f.top {
		digests = append(digests, d.String())
	}
	var all []trust.Signature
	for _, d := range digests {
		some, err := s.signatures(ctx, digest.Digest(d))
		if err != nil {
			return err
		}
		all = append(all, some...)
	}
	return q.Check(digests, all, os.ReadFile)
}

// signatures reads those that cosign put beside an image, under a tag or as artifacts that
// refer to it; none are no error.
func (s *session) signatures(ctx context.Context, d digest.Digest) (all []trust.Signature, err error) {
	at, err := s.signatureManifests(ctx, d)
	if err != nil {
		return nil, err
	}
	for _, m := range at {
		some, err := s.signaturesIn(ctx, m)
		if fault.Is(err, fault.Invalid) || fault.Is(err, fault.Unsupported) {
			continue // anybody who may push can put such a thing beside a good one
		}
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(all) > maxSignatures {
			return nil, invalid("more than %d signatures", maxSignatures)
		}
	}
	return all, nil
}

// signatureManifests finds the manifests that hold an image's signatures.
func (s *session) signatureManifests(ctx context.Context, d digest.Digest) (all []v1.Descriptor, err error) {
	tag := strings.Replace(d.String(), ":", "-", 1) + ".sig"
	_, at, err := s.remote.Resolve(ctx, s.ref.Name()+":"+tag)
	if err == nil {
		all = append(all, at)
	} else if err = explain(ctx, s.registry(), err); !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	// Asks for the list of referrers, and where the registry keeps none for the tag that
	// clients keep instead.
	lister, ok := s.fetcher.(remotes.ReferrersFetcher)
	if !ok {
		return nil, fault.New(fault.Internal, "registry: the library lists no referrers")
	}
	refer, err := lister.FetchReferrers(ctx, d)
	if err != nil {
		return nil, explain(ctx, s.registry(), err)
	}
	if len(refer) > maxEntries {
		return nil, invalid("%d artifacts refer to the image, more than the %d accepted", len(refer), maxEntries)
	}
	for _, r := range refer {
		switch t := r.ArtifactType; {
		case strings.HasPrefix(t, trust.BundleType), t == trust.ArtifactType,
			t == "", t == v1.MediaTypeEmptyJSON: // not said: some registries and clients list the configuration's type
			all = append(all, r)
		}
	}
	if len(all) > maxSignatures {
		return nil, invalid("more than %d signatures", maxSignatures)
	}
	return all, nil
}

// signaturesIn reads the layers of a manifest that hold signatures.
func (s *session) signaturesIn(ctx context.Context, at v1.Descriptor) (all []trust.Signature, err error) {
	text, err := s.small(ctx, at, maxManifest)
	if err != nil {
		return nil, err
	}
	doc, err := parse(text, at.MediaType)
	if err != nil {
		return nil, err
	}
	if doc.manifest == nil || len(doc.manifest.Layers) > maxSignatures {
		return nil, invalid("not what cosign writes")
	}
	for _, l := range doc.manifest.Layers {
		isBundle := strings.HasPrefix(l.MediaType, trust.BundleType)
		if !isBundle && l.MediaType != trust.PayloadType {
			continue
		}
		p, err := s.small(ctx, l, maxPayload)
		if err != nil {
			return nil, err
		}
		if isBundle {
			all = append(all, trust.Signature{Bundle: p})
		} else {
			all = append(all, trust.Signature{Payload: p, Base64: l.Annotations[trust.SignatureAnnotation]})
		}
	}
	return all, nil
}
