package unpack

import (
	"archive/tar"
	"fmt"
	"strings"
	"testing"

	"carob/internal/fault"
)

// TestLinks are remembered, so that there is a bound for all of them.
func TestLinks(t *testing.T) {
	g := newGuard(DefaultLimits())
	long := strings.Repeat("x", 1<<20)
	for i := range MaxNames >> 20 {
		if _, err := g.check(&tar.Header{Typeflag: tar.TypeSymlink, Name: fmt.Sprint(i), Linkname: long}); err != nil {
			if !fault.Is(err, fault.Invalid) || i < 10 {
				t.Errorf("%d: %v", i, err)
			}
			return
		}
	}
	t.Error("all were remembered")
}
