package cgroup

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// TestReadWhileItGoes removes groups while they are read: whoever reads has the numbers of
// a group that was there, or is told that it was not, and no other error. On v2 never a part
// with zeros for the rest; on v1 a group goes tree by tree.
func TestReadWhileItGoes(t *testing.T) {
	l, root := host(t)
	const limit = 64 << 20
	whole := l.Mode() == ModeV2
	create(t, l, root, nil)
	for range 200 {
		g := create(t, l, root+"/child", &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(limit))}, Pids: &specs.LinuxPids{Limit: ptr(int64(77))},
		})
		removed := make(chan error, 1)
		ctx := within(t, 5*time.Second)
		time.AfterFunc(200*time.Microsecond, func() { removed <- g.Remove(ctx) })
		for gone := false; !gone; {
			select {
			case err := <-removed:
				if err != nil {
					t.Fatal(err)
				}
				gone = true
			default:
			}
			s, err := g.Stats()
			if whole && err == nil && (s.Memory.Limit != limit || s.Pids.Limit != 77) {
				t.Fatalf("of a group that went: memory limit %d, pids limit %d", s.Memory.Limit, s.Pids.Limit)
			}
			o, seen := g.Observed()
			if whole && seen == nil && (o.Memory == nil || o.Pids == nil) {
				t.Fatalf("limits of a group that went: %+v", o)
			}
			_, extremes := ReadExtremes(g)
			for _, e := range []error{err, seen, extremes} {
				if (gone || e != nil) && (!fault.Is(e, fault.NotFound) || !errors.Is(e, fs.ErrNotExist)) {
					t.Fatalf("gone is %t: %v", gone, e)
				}
			}
		}
	}
}
