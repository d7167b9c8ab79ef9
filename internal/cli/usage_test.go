package cli

import (
	"strings"
	"testing"
)

// TestUsageSaysThingsOnce: no usage line has its flags twice, and each fits a terminal.
func TestUsageSaysThingsOnce(t *testing.T) {
	for _, words := range [][]string{{"run"}, {"ps"}, {"pod"}, {"apply"}, {"events"}, {"network"}} {
		r := line(t, newFake(nil), "", append(words, "--help")...)
		if r.code != 0 {
			t.Fatalf("%v: %+v", words, r)
		}
		_, rest, _ := strings.Cut(r.out, "Usage:\n")
		usage, _, _ := strings.Cut(rest, "\n\n")
		if strings.Count(strings.ToLower(usage), "[flags]") > 1 || strings.Contains(usage, "\n") || len(usage) > 80 {
			t.Errorf("%v: %q", words, usage)
		}
	}
}
