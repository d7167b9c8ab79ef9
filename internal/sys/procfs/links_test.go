package procfs

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
)

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    5       1    0    0    0     0          0         0        5       1    0    0    0     0       0          0
  eth0: 7000      10    1    2    0     0          0         0     8000      11    3    4    0     0       0          0
`

func TestParseLinks(t *testing.T) {
	want := []Link{{"eth0", Traffic{7000, 10, 1, 2}, Traffic{8000, 11, 3, 4}}}
	if d := cmp.Diff(want, parseLinks([]byte(netDev))); d != "" {
		t.Error(d)
	}
}

func FuzzParseLinks(f *testing.F) {
	f.Add([]byte(netDev))
	f.Add([]byte("a:b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, l := range parseLinks(text) {
			if l.Name == "lo" || strings.ContainsAny(l.Name, "\n:") {
				t.Errorf("%q", l.Name)
			}
		}
	})
}

func TestLinks(t *testing.T) {
	if _, err := Links(os.Getpid()); err != nil {
		t.Error(err)
	}
	if _, err := Links(1 << 30); !fault.Is(err, fault.NotFound) {
		t.Errorf("of nobody: %v", err)
	}
}
