package group

import (
	"math"
	"testing"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64 // -1: no limit
	}{
		{"268435456\n", 268435456}, {"0\n", 0}, {"max\n", -1}, {"-1\n", -1}, {"9223372036854771712\n", -1}, {"", -1}, {"1 2", -1},
		{"18446744073709551615", -1}, {"18446744073709551616", -1},
	} {
		got := limit(c.text)
		if c.want < 0 && got != nil || c.want >= 0 && (got == nil || int64(*got) != c.want) {
			t.Errorf("%q: %v, want %d", c.text, got, c.want)
		}
	}
	for text, want := range map[string]int{"0-3,8": 5, "0": 1, "": 0, "3-1": 0, "x": 0, "0-1,x,5": 3} {
		if got := count(text); got != want {
			t.Errorf("%q: %d members, want %d", text, got, want)
		}
	}
	for text, want := range map[string]float64{"50000 100000": 0.5, "max 100000": 0, "250000 100000\n": 2.5, "": 0, "1 0": 0} {
		got := quotaV2(text)
		if (got == nil) != (want == 0) || got != nil && *got != want {
			t.Errorf("%q: %v, want %g", text, got, want)
		}
	}
	for n, want := range map[float64]string{0: "0B", 1023: "1023B", 1 << 20: "1MiB", 1 << 28: "256MiB", 1.5 * (1 << 30): "1.5GiB", 1 << 62: "4EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%g: %s, want %s", n, got, want)
		}
	}
}

func TestStall(t *testing.T) {
	s := stall("some avg10=1.50 avg60=2.00 avg300=3.00 total=5\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=1\n")
	if s == nil || *s != (Stall{Some10: 1.5, Some60: 2, Some300: 3, Full10: 0.25}) {
		t.Errorf("%+v", s)
	}
	for _, none := range []string{"", "some", "some avg10=x", "some avg10=NaN avg60=-1 avg300=101", "other avg10=1.00"} {
		if s := stall(none); s != nil {
			t.Errorf("%q: %+v", none, s)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add("some avg10=1.50 avg60=2.00 avg300=3.00 total=5\n")
	f.Add("8:0 rbytes=4096 wbytes=8192\n8:0 Read 4096\n")
	f.Add("5:cpu,cpuacct:/a (deleted)\n0::/b\n")
	f.Add("0-3,8")
	f.Add("50000 100000")
	f.Fuzz(func(t *testing.T, s string) {
		if p := stall(s); p != nil && (math.IsNaN(p.Some10) || p.Some10 < 0 || p.Some10 > 100) {
			t.Errorf("%+v", p)
		}
		if q := quotaV2(s); q != nil && *q <= 0 {
			t.Errorf("quota %g", *q)
		}
		if n := count(s); n < 0 || n > len(s)*65536 {
			t.Errorf("%d members", n)
		}
		for _, pid := range pids(s) {
			if pid <= 0 {
				t.Errorf("process %d", pid)
			}
		}
		for _, p := range memberships(s) {
			if p[0] != '/' {
				t.Errorf("path %q", p)
			}
		}
		if n := limit(s); n != nil && *n >= unlimited {
			t.Errorf("limit %d", *n)
		}
		moved(s) // must only come back
	})
}
