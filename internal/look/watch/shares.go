package watch

import (
	"encoding/json"

	"carob/internal/look"
	"carob/internal/look/sample"
)

// With says with whom a namespace is shared.
type With int

// The ways to share. Of several the widest is told.
const (
	// Unknown could not be read, or this kernel has no such kind.
	Unknown With = iota
	// Own is shared with nobody.
	Own
	// WithPod is shared inside of the pod.
	WithPod
	// WithOthers is shared with a container outside of the pod.
	WithOthers
	// WithHost is the host's: no isolation.
	WithHost
)

// String is the way in one word.
func (w With) String() string {
	return [...]string{"", "own", "pod", "others", "host"}[w]
}

// Shares is with whom each kind of namespace is shared.
type Shares [look.NumKinds]With

// MarshalJSON writes an object: kind to word, without what is not known.
func (s Shares) MarshalJSON() ([]byte, error) {
	m := map[string]string{}
	for _, k := range look.Kinds() {
		if s[k] != Unknown {
			m[k.String()] = s[k].String()
		}
	}
	return json.Marshal(m)
}

// letters name the kinds in one column each, as nsenter's and unshare's options do where
// they are unique.
const letters = "muipnUct"

// peers are the things in each namespace.
func peers(s *sample.Sample) map[look.Namespace][]*sample.Thing {
	out := map[look.Namespace][]*sample.Thing{}
	for i := range s.Things {
		t := &s.Things[i]
		if t.Kind == sample.ThingPod { // is in those of its sandbox, which is a thing too
			continue
		}
		for _, k := range look.Kinds() {
			if t.NS[k] != 0 {
				n := look.Namespace{Kind: k, Inode: t.NS[k]}
				out[n] = append(out[n], t)
			}
		}
	}
	return out
}

// shares says with whom a thing shares. Of a pod it is its sandbox until complete knows
// the containers.
func (b *builder) shares(t *sample.Thing) Shares {
	var s Shares
	pod := t.Pod
	if t.Kind == sample.ThingPod {
		pod = t.Key
	}
	for _, k := range look.Kinds() {
		switch n := t.NS[k]; n {
		case 0:
		case b.now.Machine.NS[k]:
			s[k] = WithHost
		default:
			s[k] = b.among(t, look.Namespace{Kind: k, Inode: n}, pod)
		}
	}
	return s
}

// among looks who else is in a namespace.
func (b *builder) among(t *sample.Thing, n look.Namespace, pod string) With {
	w := Own
	for _, p := range b.peers[n] {
		switch {
		case p == t:
		case p.Pod != "" && p.Pod == pod:
			w = max(w, WithPod)
		default:
			w = WithOthers
		}
	}
	return w
}

// all is what every container of a pod shares at least: the pod is in the host's network
// when all of them are. A pod without containers is as its sandbox is.
func (s Shares) all(rows []Row) Shares {
	first := true
	for i := range rows {
		if rows[i].Kind != look.ClassContainer {
			continue
		}
		for k := range s {
			if first || rows[i].Shares[k] < s[k] {
				s[k] = rows[i].Shares[k]
			}
		}
		first = false
	}
	return s
}
