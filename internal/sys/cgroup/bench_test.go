package cgroup

import (
	"strconv"
	"testing"
)

func BenchmarkCreate(b *testing.B) {
	l, root := host(b)
	create(b, l, root, nil)
	res := dockerLike()
	for i := 0; b.Loop(); i++ {
		g := create(b, l, root+"/"+strconv.Itoa(i), res)
		b.StopTimer()
		if err := g.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkRemove(b *testing.B) {
	l, root := host(b)
	create(b, l, root, nil)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		g := create(b, l, root+"/"+strconv.Itoa(i), nil)
		b.StartTimer()
		if err := g.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStats60(b *testing.B) {
	l, root := host(b)
	create(b, l, root, nil)
	var groups []*Group
	for i := range 60 {
		groups = append(groups, create(b, l, root+"/"+strconv.Itoa(i), nil))
	}
	for b.Loop() {
		for _, g := range groups {
			if _, err := g.Stats(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkParents is what a first and last group below a parent costs, when the parent
// goes with it and when it is kept.
func BenchmarkParents(b *testing.B) {
	for name, keep := range map[string]bool{"made and removed": false, "kept": true} {
		b.Run(name, func(b *testing.B) {
			l, root := host(b)
			create(b, l, root, nil)
			if keep {
				l.Keep(root + "/p")
			}
			for b.Loop() {
				g := create(b, l, root+"/p/a", nil)
				if err := g.Remove(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
