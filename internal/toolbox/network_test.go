package toolbox

import (
	"encoding/binary"
	"strings"
	"testing"

	"carob/internal/toolbox/tool"
)

// The lines are /proc/net's of a machine with little-endian words, which are turned
// around where the test's machine is another.
func TestProcNet(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the recorded lines are of a little-endian machine")
	}
	all := tool.Options{'a': ""}
	for _, test := range []struct{ proto, line, want string }{
		{"tcp", "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1", "127.0.0.1:8080 0.0.0.0:* LISTEN"},
		{"tcp", "   1: 0200A8C0:D431 0101A8C0:01BB 01 00000000:00000000 00:00000000 00000000     0        0 1", "192.168.0.2:54321 192.168.1.1:443 ESTABLISHED"},
		{"tcp6", "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0", "[::1]:80 [::]:* LISTEN"},
		{"tcp6", "   0: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:D431 06 0", "127.0.0.1:80 127.0.0.1:54321 TIME_WAIT"},
		{"udp", "   5: 00000000:0035 00000000:0000 07 00000000:00000000", "0.0.0.0:53 0.0.0.0:*"},
	} {
		got, ok := socketLine(test.proto, test.line, all)
		if fields := strings.Join(strings.Fields(got), " "); !ok || fields != test.proto+" "+test.want {
			t.Errorf("%q, %v; want %q", fields, ok, test.want)
		}
	}
	for line, want := range map[string]string{
		"eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0":     "default via 192.168.2.1 dev eth0",
		"eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0":     "192.168.2.0/24 dev eth0",
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask": "",
	} {
		if got, _ := routeLine(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzProcNet(f *testing.F) {
	f.Add("   0: 0100007F:1F90 00000000:0000 0A")
	f.Add("eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000")
	f.Fuzz(func(t *testing.T, line string) {
		if got, ok := socketLine("tcp", line, tool.Options{'a': ""}); ok && !strings.HasPrefix(got, "tcp ") {
			t.Errorf("%q", got)
		}
		routeLine(line)
	})
}
