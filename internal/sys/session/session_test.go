package session

import (
	"os"
	"testing"
)

func TestSignal(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{{"TERM", 15}, {"SIGTERM", 15}, {"sigkill", 9}, {"hup", 1}, {"15", 15}, {"64", 64}, {"0", 0}, {"65", 0}, {"NOPE", 0}, {"", 0}} {
		n, err := Signal(c.in)
		if n != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("%q: got %d, %v", c.in, n, err)
		}
	}
	if Number(os.Interrupt) != 2 {
		t.Errorf("interrupt is %d", Number(os.Interrupt))
	}
}
