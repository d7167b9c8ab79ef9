package podproc

import (
	"testing"
	"time"
)

func TestStampIsWhatTimeFormats(t *testing.T) {
	const layout = "2006-01-02T15:04:05.000000000Z07:00"
	for _, day := range []string{
		"1970-01-01", "1999-12-31", "2000-02-28", "2000-02-29", "2000-03-01", "2024-02-29", "2026-01-31",
		"2026-11-23", "2100-02-28", "2100-03-01", "2261-12-31",
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		for _, add := range []time.Duration{0, 1, 999_999_999, 12*time.Hour + 34*time.Minute + 56*time.Second + 7008, 24*time.Hour - 1} {
			at := at.Add(add)
			var b [stampSize]byte
			stamp(&b, at.UnixNano())
			if want := at.UTC().Format(layout); string(b[:]) != want {
				t.Errorf("got %s, want %s", b, want)
			}
		}
	}
}

func TestAppendUint(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 9: "9", 10: "10", 1<<64 - 1: "18446744073709551615"} {
		if got := string(appendUint(nil, n)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzParseKills(f *testing.F) {
	for _, s := range []string{"", "oom_kill 3", "oom_kill 3\n", "oom_kill \n", "oom_kill x\noom_kill 4", "oom_kill 99999999999999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { parseKills(b) })
}

func TestParseKills(t *testing.T) {
	for text, want := range map[string]uint64{
		"":                                 0,
		"oom_kill 3":                       3,
		"oom_kill_disable 1\noom 5":        0,
		"a\noom_kill 12\nb":                12,
		"oom_group_kill 4":                 0,
		"oom_kill -1":                      0,
		"oom_kill 99999999999999999999999": 0,
	} {
		if got := parseKills([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}
