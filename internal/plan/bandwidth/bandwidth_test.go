package bandwidth

import (
	"testing"

	"carob/internal/fault"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		in, out string
		want    Limits
	}{
		{"", "", Limits{}},
		{"10M", "", Limits{Ingress: 10_000_000}},
		{"1k", "2Gi", Limits{Ingress: 1000, Egress: 2 << 30}},
	} {
		a := map[string]string{"other": "x"}
		if c.in != "" {
			a[ingress] = c.in
		}
		if c.out != "" {
			a[egress] = c.out
		}
		if got, err := Of(a); err != nil || got != c.want {
			t.Errorf("%q %q: %+v, %v", c.in, c.out, got, err)
		}
	}
	for _, bad := range []string{"", "x", "1", "-5M", "2P", "1e40"} {
		for _, key := range []string{ingress, egress} {
			if _, err := Of(map[string]string{key: bad}); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s %q: %v", key, bad, err)
			}
		}
	}
}
