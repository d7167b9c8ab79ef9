package watch

import (
	"testing"

	"carob/internal/look/ink"
)

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.4: "0", 999: "999", 1000: "1000", 1023: "1023", 1024: "1K", 1536: "1.5K", 10239: "10K", 12 << 20: "12M", 384 << 20: "384M", 1000 << 20: "1000M",
		1.5 * (1 << 30): "1.5G", 1 << 40: "1T", 1 << 60: "1E", 5 << 60: "5E", 999 << 10: "999K",
	} {
		if got := short(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for v := 1.0; v < 1<<63; v *= 1.01 {
		if s := short(v); len(s) > 5 {
			t.Fatalf("%v is %s", v, s)
		}
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  string
	}{{0, "····"}, {0.001, "▏···"}, {0.5, "██··"}, {0.53, "██▏·"}, {1, "████"}, {7, "████"}, {-1, "····"}} {
		if got := bar(c.share, 4).text(); got != c.want {
			t.Errorf("%v: %s, want %s", c.share, got, c.want)
		}
	}
}

func TestTrend(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{nil, "     "}, {[]float64{0}, "    ▁"}, {[]float64{0, 4, 8}, "  ▁▅█"}, {[]float64{9, 9, 9, 1, 1, 1, 1, 1}, "▅▅▅▅▅"}, {[]float64{0.1}, "    ▁"},
	} {
		if got := trend(c.values, 2, 5); got != c.want {
			t.Errorf("%v: %q, want %q", c.values, got, c.want)
		}
	}
}

// TestReversed shows what is selected in one piece.
func TestReversed(t *testing.T) {
	for _, s := range (Line{plain(ink.Red, "a"), plain(ink.Dim, "b"), plain(ink.Hue, "c")}).reversed() {
		if !s.Reverse || s.Ink != ink.Plain || s.Bold != (s.Text == "a") {
			t.Errorf("%+v", s)
		}
	}
}
