package mount

import (
	"strings"
	"testing"

	"carob/internal/fault"
)

func TestParsePropagation(t *testing.T) {
	const mounts = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /a rw master:2 propagate_from:1 - tmpfs tmpfs rw
23 21 0:6 / /b rw shared:7 master:3 - tmpfs tmpfs rw
24 21 0:7 / /c\040d rw - tmpfs shared:9 rw
`
	for id, want := range map[uint64]Propagation{21: {Shared: true}, 22: {Slave: true}, 23: {Shared: true, Slave: true}, 24: {}} {
		if got, err := parsePropagation(strings.NewReader(mounts), id); err != nil || got != want {
			t.Errorf("%d: %+v, %v, want %+v", id, got, err, want)
		}
	}
	if _, err := parsePropagation(strings.NewReader(mounts), 2); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
}

func TestPropagationOf(t *testing.T) {
	here, err := PropagationOf(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	below, err := PropagationOf(t.TempDir() + "/no/such")
	if err != nil || below != here {
		t.Errorf("%+v, %v, want %+v", below, err, here)
	}
}
