package cgroup

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestWithin(t *testing.T) {
	limit := func(quota int64, period uint64) *specs.LinuxCPU {
		c := &specs.LinuxCPU{Shares: ptr(uint64(7))}
		if quota != 0 {
			c.Quota = &quota
		}
		if period != 0 {
			c.Period = &period
		}
		return c
	}
	for name, tt := range map[string]struct {
		asked, above *specs.LinuxCPU
		want         int64
	}{
		"less":                 {limit(10, 100), limit(20, 100), 10},
		"as much":              {limit(20, 100), limit(20, 100), 20},
		"more":                 {limit(30, 100), limit(20, 100), -1},
		"less, other period":   {limit(30, 1000), limit(20, 100), 30},
		"more, other period":   {limit(30, 100), limit(200, 1000), -1},
		"more, usual period":   {limit(60_000, 0), limit(50_000, 100_000), -1},
		"less, usual period":   {limit(60_000, 100_000), limit(70_000, 0), 60_000},
		"none above":           {limit(30, 100), limit(-1, 100), 30},
		"nothing known above":  {limit(30, 100), nil, 30},
		"none asked":           {limit(-1, 100), limit(20, 100), -1},
		"nothing asked of CPU": {limit(0, 0), limit(20, 100), 0},
	} {
		res := &specs.LinuxResources{CPU: tt.asked}
		before := value(tt.asked.Quota)
		got := Within(res, tt.above)
		if value(got.CPU.Quota) != tt.want || *got.CPU.Shares != 7 {
			t.Errorf("%s: %+v, want %d", name, got.CPU, tt.want)
		}
		if value(res.CPU.Quota) != before {
			t.Errorf("%s: the request was changed", name)
		}
	}
	if Within(nil, limit(1, 1)) != nil {
		t.Error("no limits became some")
	}
}
