// Package ref reads and writes image references: "nginx", "quay.io/a/b:v1",
// "localhost:5000/x@sha256:…". It knows Docker's short forms and the grammar of
// the distribution specification, touches nothing and imports only the standard
// library and fault.
package ref

import (
	"strings"

	"carob/internal/fault"
)

// The parts that a short name leaves out, as Docker fills them in.
const (
	// DefaultRegistry is the host of names that name none.
	DefaultRegistry = "docker.io"
	// DefaultNamespace precedes one-word names of the default registry.
	DefaultNamespace = "library"
	// DefaultTag is the tag of references with neither tag nor digest.
	DefaultTag = "latest"
)

const (
	// maxName bounds host and path together, as the distribution grammar does.
	maxName = 255
	// maxTag bounds the tag, as the distribution grammar does.
	maxTag = 128
	// maxReference bounds the whole text before anything looks at it: a name, a tag
	// and a SHA-512 digest with their separators.
	maxReference = maxName + maxTag + 160
)

// Ref is a checked reference. Make one with Parse; the zero value is no reference.
type Ref struct {
	// Registry is the host, with its port if it has one: "docker.io".
	Registry string
	// Path is the repository below the host: "library/nginx".
	Path string
	// Tag is empty only when there is a digest.
	Tag string
	// Digest is "algorithm:hex" or empty.
	Digest string
}

// Parse reads a reference and completes it as Docker does: no host means docker.io,
// one word on docker.io means library/, neither tag nor digest means latest. The
// first part is a host when it holds a dot or a colon, has an upper-case letter, or
// is "localhost". Every error is fault.Invalid and quotes the reference.
func Parse(s string) (Ref, error) {
	switch {
	case s == "":
		return Ref{}, invalid(s, "empty")
	case len(s) > maxReference:
		return Ref{}, invalid(s, "longer than any reference can be")
	case IsID(s):
		// A name of 64 hex digits could never be told from an image ID.
		return Ref{}, invalid(s, "64 hex digits are an image ID, not a name")
	}
	r, err := split(s)
	if err != nil {
		return Ref{}, err
	}
	switch {
	case !validHost(r.Registry):
		return Ref{}, invalid(s, "bad registry host")
	case !validPath(r.Path):
		return Ref{}, invalid(s, "a name is lower-case letters and digits, separated by '.', '_', '__', '-' or '/'")
	case len(r.Registry)+1+len(r.Path) > maxName:
		return Ref{}, invalid(s, "a name is at most 255 characters long")
	}
	return r, nil
}

// ParseName returns the full form of a name that is to be given to an image: one with a
// digest is Invalid.
func ParseName(s string) (full string, err error) {
	r, err := Parse(s)
	if err != nil {
		return "", err
	}
	if r.Digest != "" {
		return "", fault.New(fault.Invalid, "image name "+r.Familiar()+": a name given here cannot hold a digest")
	}
	return r.String(), nil
}

// split takes the reference apart; tag and digest are checked, the name is not.
func split(s string) (Ref, error) {
	rest, digest, digested := strings.Cut(s, "@")
	if digested && !validDigest(digest) {
		return Ref{}, invalid(s, "the part after @ is no digest such as sha256:<64 hex digits>")
	}
	name, tag, tagged := cutTag(rest)
	if tagged && !validTag(tag) {
		return Ref{}, invalid(s, "a tag is 1 to 128 letters, digits, '_', '.' or '-', not beginning with '.' or '-'")
	}
	if !tagged && !digested {
		tag = DefaultTag
	}
	r := Ref{Tag: tag, Digest: digest}
	r.Registry, r.Path = cutRegistry(name)
	return r, nil
}

// Name returns registry and path: "docker.io/library/nginx".
func (r Ref) Name() string { return r.Registry + "/" + r.Path }

// String returns the full form, which Parse reads back to the same Ref:
// "docker.io/library/nginx:latest".
func (r Ref) String() string { return r.Name() + r.suffix() }

// Familiar returns the short form that people write, which Parse reads back to the
// same Ref: "nginx:latest". The tag is always there, the default host and
// namespace never.
func (r Ref) Familiar() string {
	name := r.Name()
	if r.Registry == DefaultRegistry {
		name = r.Path
		if short, ok := strings.CutPrefix(name, DefaultNamespace+"/"); ok && !strings.Contains(short, "/") {
			name = short
		}
	}
	if IsID(name) {
		// Too short a form would read as an image ID.
		name = r.Name()
	}
	return name + r.suffix()
}

func (r Ref) suffix() string {
	s := ""
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

func invalid(s, why string) error {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return fault.New(fault.Invalid, "image reference "+quote(s)+": "+why)
}

// cutTag splits at the last colon, unless that colon belongs to a host's port.
func cutTag(s string) (name, tag string, tagged bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.IndexByte(s[i:], '/') >= 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

func cutRegistry(name string) (registry, path string) {
	host, path, ok := strings.Cut(name, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" && strings.ToLower(host) == host {
		host, path = DefaultRegistry, name
	}
	if host == "index.docker.io" {
		host = DefaultRegistry // the name the first registry had; Docker still reads it
	}
	if host == DefaultRegistry && !strings.Contains(path, "/") {
		path = DefaultNamespace + "/" + path
	}
	return host, path
}
