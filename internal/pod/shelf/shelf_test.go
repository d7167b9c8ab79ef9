package shelf

import (
	"slices"
	"testing"
)

func TestShelf(t *testing.T) {
	var s Shelf[string, int]
	put := func(like string, thing int) (*Place[string, int], *Place[string, int]) {
		t.Helper()
		if !s.Wants(like) {
			t.Fatalf("no place for %q", like)
		}
		return s.Put(like, thing)
	}
	a, _ := put("a", 1)
	if s.Wants("a") {
		t.Error("two of one shape")
	}
	if _, ok := s.Take("a"); ok {
		t.Error("taken before it was ready")
	}
	b, _ := put("b", 2)
	if s.Wants("c") {
		t.Error("what is being made has to make room")
	}
	s.Ready(a)
	c, old := put("c", 3)
	if old != a {
		t.Errorf("%v made room, not the oldest", old)
	}
	if got := s.All(); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("there is %v", got)
	}
	s.Drop(b)
	if _, ok := s.Evict(); ok {
		t.Error("evicted what was being made")
	}
	s.Ready(c)
	if got, ok := s.Evict(); !ok || got != 3 {
		t.Errorf("evicted %v, %v", got, ok)
	}
	c, _ = put("c", 3)
	s.Ready(c)
	if got, ok := s.Take("c"); !ok || got != 3 {
		t.Errorf("took %v, %v", got, ok)
	}
	if _, ok := s.Take("c"); ok || len(s.All()) > 0 {
		t.Error("what was taken or dropped is there")
	}
}
