package cgroup

import (
	"testing"

	oci "github.com/opencontainers/cgroups"
)

// TestConversions holds ours against the library that the other runtimes use.
func TestConversions(t *testing.T) {
	for s := uint64(0); s < 300000; s = s + 1 + s/50 {
		if got, want := Weight(s), oci.ConvertCPUSharesToCgroupV2Value(s); got != want {
			t.Fatalf("shares %d: weight %d, want %d", s, got, want)
		}
	}
	for w := uint64(1); w <= maxWeight; w++ {
		if got := Weight(Shares(w)); got > w || (w > 1 && Weight(Shares(w)+1) <= w && Shares(w) < maxShares) {
			t.Fatalf("weight %d: shares %d", w, Shares(w))
		}
	}
	if Weight(1024) != 100 || Shares(100) != 1024 {
		t.Errorf("the defaults: %d %d", Weight(1024), Shares(100))
	}
	for w := uint16(10); w <= 1000; w++ {
		if got, want := IOWeight(w), oci.ConvertBlkIOToIOWeightValue(w); got != want {
			t.Fatalf("weight %d: %d, want %d", w, got, want)
		}
	}
}
