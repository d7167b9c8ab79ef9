package foreign

import (
	"errors"
	"testing"

	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
)

// TestEndHelpers: a helper that has ended between the list and its kill may have made a
// process. Taken for killed, that was shown as running for good, with nobody who heard its end.
func TestEndHelpers(t *testing.T) {
	known := func(id string, helped, made bool) supervisor.Known {
		return supervisor.Known{ProcessState: pod.ProcessState{ID: id}, Helped: helped, Made: made}
	}
	listed := []supervisor.Known{known("runs", false, false), known("works", true, false), known("ends", true, false)}
	again := []supervisor.Known{known("runs", false, false), known("works", true, false), known("ends", false, true)}
	gone := errors.New("no such process")
	for name, test := range map[string]struct {
		gone, list error
		want       []supervisor.Known
	}{
		"all are killed":      {want: listed},
		"one has ended":       {gone: gone, want: again},
		"and nobody can tell": {gone: gone, list: gone, want: listed},
	} {
		killed := 0
		got := endHelpers(listed, func(id string) error {
			killed++
			if id == "ends" {
				return test.gone
			}
			return nil
		}, func() ([]supervisor.Known, error) { return again, test.list })
		if killed != 2 || got[2] != test.want[2] {
			t.Errorf("%s: %d killed, %+v", name, killed, got)
		}
	}
}
