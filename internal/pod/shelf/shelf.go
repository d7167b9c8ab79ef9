// Package shelf keeps account of things that are made before anybody asks for them, by
// their shape: whoever comes takes one of his, if it is ready. It makes nothing itself.
package shelf

import "slices"

// room is how many things there are at once, one for each of the latest shapes.
const room = 2

// Shelf holds things of type T, each of a shape. The zero value is empty. Its methods are
// not for concurrent use.
type Shelf[S comparable, T any] struct{ places []*Place[S, T] } // oldest first

// Place is a thing with its shape, from when it is planned on.
type Place[S comparable, T any] struct {
	Shape S
	Thing T
	ready bool
}

// Take gives away the thing of a shape, if one is ready.
func (s *Shelf[S, T]) Take(like S) (thing T, ok bool) {
	for i, p := range s.places {
		if p.ready && p.Shape == like {
			s.places = slices.Delete(s.places, i, i+1)
			return p.Thing, true
		}
	}
	return thing, false
}

// Wants reports whether one more thing of this shape would find a place.
func (s *Shelf[S, T]) Wants(like S) bool {
	known := slices.ContainsFunc(s.places, func(p *Place[S, T]) bool { return p.Shape == like })
	return !known && (len(s.places) < room || s.places[0].ready)
}

// Put keeps a place for a thing that Wants has said there is one for, and gives back the
// one that has to make room, if any. Ready or Drop follows.
func (s *Shelf[S, T]) Put(like S, thing T) (place, old *Place[S, T]) {
	if len(s.places) == room {
		old, s.places = s.places[0], s.places[1:]
	}
	place = &Place[S, T]{Shape: like, Thing: thing}
	s.places = append(s.places, place)
	return place, old
}

// Ready says that a place's thing can be taken.
func (s *Shelf[S, T]) Ready(p *Place[S, T]) { p.ready = true }

// Drop says that a place's thing could not be made.
func (s *Shelf[S, T]) Drop(p *Place[S, T]) {
	s.places = slices.DeleteFunc(s.places, func(other *Place[S, T]) bool { return other == p })
}

// Evict gives away the oldest thing that is ready.
func (s *Shelf[S, T]) Evict() (thing T, ok bool) {
	for _, p := range s.places {
		if p.ready {
			return s.Take(p.Shape)
		}
	}
	return thing, false
}

// All lists what there is, whether it is ready or not.
func (s *Shelf[S, T]) All() []T {
	all := make([]T, 0, len(s.places))
	for _, p := range s.places {
		all = append(all, p.Thing)
	}
	return all
}
