package cgroup

import (
	"os"
	"strconv"
	"testing"

	oci "github.com/opencontainers/cgroups"
	ocifs "github.com/opencontainers/cgroups/fs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	plan "carob/internal/plan/cgroup"
)

// The benchmarks below are the measurements of docs/adr/0004: this package and
// opencontainers/cgroups' v1 manager with the same limits, without devices.

func libraryLike() (*oci.Resources, *specs.LinuxResources) {
	res := dockerLike()
	res.Devices = nil
	return &oci.Resources{Memory: 128 << 20, MemorySwap: 256 << 20, CpuShares: 512, CpuQuota: 50000, CpuPeriod: 100000,
		PidsLimit: ptr(int64(100)), SkipDevices: true}, res
}

func BenchmarkAgainstLibrary(b *testing.B) {
	_, _ = oci.ReadFile("/sys/fs/cgroup", "none") // the library keeps one fd open for good
	l, root := host(b)
	if l.Version("memory") != plan.V1 {
		b.Skip("compares on cgroup v1")
	}
	theirs, ours := libraryLike()
	create(b, l, root, nil)
	b.Run("create/library", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			m, err := ocifs.NewManager(&oci.Cgroup{Path: root + "/l" + strconv.Itoa(i), Resources: theirs}, nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := m.Apply(-1); err != nil {
				b.Fatal(err)
			}
			if err := m.Set(theirs); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := m.Destroy(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("create/carob", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			g := create(b, l, root+"/c"+strconv.Itoa(i), ours)
			b.StopTimer()
			if err := g.Remove(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	removeLibrarys(b, root)
}

// removeLibrarys removes what the library makes in a v2 tree without controllers.
func removeLibrarys(b *testing.B, root string) {
	b.Cleanup(func() { _ = os.Remove("/sys/fs/cgroup/unified" + root) })
}

func BenchmarkStatsAgainstLibrary(b *testing.B) {
	_, _ = oci.ReadFile("/sys/fs/cgroup", "none")
	l, root := host(b)
	if l.Version("memory") != plan.V1 {
		b.Skip("compares on cgroup v1")
	}
	removeLibrarys(b, root)
	theirs, _ := libraryLike()
	m, err := ocifs.NewManager(&oci.Cgroup{Path: root + "/stats", Resources: theirs}, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Apply(-1); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Destroy(); err != nil {
			b.Error(err)
		}
	})
	b.Run("stats/library", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.GetStats(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stats/carob", func(b *testing.B) {
		g, err := l.Open(root + "/stats")
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := g.Stats(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
