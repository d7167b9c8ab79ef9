// Package fault names the kinds of refusal that callers branch on. A fault is an
// ordinary error that carries a Kind; its text is "subject: step: cause" and is
// written by the layer that alone knows the fact. The package imports only
// "errors": it is linked into the pod supervisor, whose memory is
// part of the product.
package fault

import "errors"

// Kind classifies a refusal. The zero value is Internal: whatever nobody
// classified is our own mistake.
type Kind uint8

// The kinds, in the order of the wire protocol: never renumber.
const (
	// Internal is a broken invariant or an unclassified system error.
	Internal Kind = iota
	// Invalid means the request itself is wrong and will never succeed as it is.
	Invalid
	// NotFound means a named thing does not exist.
	NotFound
	// Exists means a name or address is taken.
	Exists
	// Conflict means the thing is in a state that does not allow the operation.
	Conflict
	// Unsupported means this kernel, host or version cannot do it.
	Unsupported
	// Unavailable means a peer is away or a deadline has passed; a retry may succeed.
	Unavailable
	// Denied means this host or user lacks the privilege.
	Denied
)

// String returns the kind as it is written in JSON and logs.
func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case NotFound:
		return "not found"
	case Exists:
		return "exists"
	case Conflict:
		return "conflict"
	case Unsupported:
		return "unsupported"
	case Unavailable:
		return "unavailable"
	case Denied:
		return "denied"
	}
	return "internal"
}

// ParseKind is the inverse of String; an unknown word is Internal.
func ParseKind(s string) Kind {
	for k := Internal; k <= Denied; k++ {
		if k.String() == s {
			return k
		}
	}
	return Internal
}

// Error is a refusal with its kind. Cause may be nil.
type Error struct {
	Kind  Kind
	Text  string
	Cause error
}

// Error returns "text: cause", or whichever of the two there is.
func (e *Error) Error() string {
	switch {
	case e.Cause == nil:
		return e.Text
	case e.Text == "":
		return e.Cause.Error()
	}
	return e.Text + ": " + e.Cause.Error()
}

// Unwrap returns the cause, for errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// New returns a fault of the given kind with this text.
func New(kind Kind, text string) error { return &Error{Kind: kind, Text: text} }

// Wrap returns a fault of the given kind whose cause is err. A nil err gives nil.
func Wrap(kind Kind, text string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Text: text, Cause: err}
}

// KindOf returns the kind of the outermost fault in err's chain, Internal if
// there is none.
func KindOf(err error) Kind {
	var f *Error
	if errors.As(err, &f) {
		return f.Kind
	}
	return Internal
}

// Is reports whether err's outermost fault has this kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
