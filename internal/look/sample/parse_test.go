package sample

import (
	"testing"
)

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		name, text string
		cpu        uint64
		ok         bool
	}{
		{"plain", "7 (sh) S 1 7 7 0 -1 4194560 200 0 0 0 3 2 0 0 20 0 1 0 55 0 0", 50_000_000, true},
		{"a name with blanks and parentheses", "7 (a) 9 (b) S 1 7 7 0 -1 4194560 200 0 0 0 100 0 0 0 20", 1_000_000_000, true},
		{"short", "7 (sh) S 1 7", 0, false},
		{"no number", "7 (sh) S 1 7 7 0 -1 4194560 200 0 0 0 x 2 0", 0, false},
		{"empty", "", 0, false},
	} {
		if cpu, ok := ParseStat([]byte(c.text)); cpu != c.cpu || ok != c.ok {
			t.Errorf("%s: %d, %v, want %d, %v", c.name, cpu, ok, c.cpu, c.ok)
		}
	}
}

func TestParseIO(t *testing.T) {
	text := "rchar: 9\nwchar: 8\nsyscr: 7\nsyscw: 6\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1\n"
	if in, out := ParseIO(text); in != 4096 || out != 8192 {
		t.Errorf("%d, %d", in, out)
	}
	if in, out := ParseIO("read_bytes: many\nwrite_bytes"); in != 0 || out != 0 {
		t.Errorf("of no numbers: %d, %d", in, out)
	}
}

// netDev is as Linux 6.18 writes it.
const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:   900      10    0    0    0     0          0         0      900      10    0    0    0     0       0          0
  eth0:  1000       5    0    0    0     0          0         0     2000       6    0    0    0     0       0          0
eth0.7:    10       1    0    0    0     0          0         0       20       1    0    0    0     0       0          0
broken: 1 2
`

func TestParseNet(t *testing.T) {
	if got := ParseNet(netDev, all); got != (Net{1010, 2020}) {
		t.Errorf("all but loopback: %v", got)
	}
	if got := ParseNet(netDev, func(name string) bool { return name == "eth0" }); got != (Net{1000, 2000}) {
		t.Errorf("eth0: %v", got)
	}
}

func TestParseCPU(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	busy, total, cpus := parseCPU("cpu  10 1 20 300 40 2 3 4 5 6\ncpu0 5 0 10 150 20 1 1 2 0 0\ncpu1 5 1 10 150 20 1 2 2 0 0\nintr 1\n")
	if busy != 40 || total != 380 || cpus != 2 {
		t.Errorf("busy %d of %d on %d", busy, total, cpus)
	}
	if _, total, cpus := parseCPU("intr 1\n"); total != 0 || cpus != 0 {
		t.Errorf("nothing: %d on %d", total, cpus)
	}
}

func TestField(t *testing.T) {
	const text = "MemTotal:       24689636 kB\nMemFree:        1 kB\nOdd:\n"
	if got := field(text, "MemTotal"); got != 24689636<<10 {
		t.Errorf("MemTotal: %d", got)
	}
	for _, name := range []string{"Odd", "Missing"} {
		if got := field(text, name); got != 0 {
			t.Errorf("%s: %d", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(netDev)
	f.Add("7 (a) 9 (b) S 1 7 7 0 -1 4194560 200 0 0 0 100 0 0 0 20")
	f.Add("read_bytes: 4096\nwrite_bytes: 1\n")
	f.Add("cpu  10 1 20 300 40 2 3 4 5 6\n")
	f.Fuzz(func(t *testing.T, text string) {
		ParseStat([]byte(text))
		ParseIO(text)
		ParseNet(text, all)
		field(text, "MemTotal")
		if _, _, cpus := parseCPU(text); cpus < 0 {
			t.Errorf("%d CPUs", cpus)
		}
	})
}
