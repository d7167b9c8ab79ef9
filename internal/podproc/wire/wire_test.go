package wire

import (
	"slices"
	"testing"
)

func TestPacketRoundTrip(t *testing.T) {
	in := Packet{Op: Exit, Err: 5, Seq: 1 << 31, Handle: 1 << 63, A: 1, B: 2, C: 3, D: 1<<64 - 1}
	var b [Size]byte
	in.Encode(&b)
	var out Packet
	out.Decode(&b)
	if in != out {
		t.Errorf("in %+v out %+v", in, out)
	}
}

func TestFilesCountsOnlyFiles(t *testing.T) {
	if n := Files(HasLog | HasStderr | OpenStdin | Ended); n != 2 {
		t.Errorf("got %d", n)
	}
}

func TestEnvKeepsHugePagesAway(t *testing.T) {
	for file, want := range map[string]bool{"[always] madvise never\n": true, "always [madvise] never\n": false, "always madvise [never]\n": false, "": false} {
		if got := slices.Contains(Env(file), "GODEBUG=disablethp=1"); got != want {
			t.Errorf("%q: huge pages kept away: %v, want %v", file, got, want)
		}
	}
}
