package lifecycle_test

import (
	"errors"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/lifecycle"
)

var events = []lifecycle.Event{lifecycle.Create, lifecycle.Start, lifecycle.Exit, lifecycle.Remove}

// The tables once more, the way one reads them: a row per state, a column per
// event, "-" for a refusal.
func TestTables(t *testing.T) {
	for _, row := range []string{
		// state    create  start   exit   remove
		"container absent  created -       -      absent",
		"container created -       running exited absent",
		"container running -       -       exited -",
		"container exited  -       running exited absent",
		"container unheard -       -       -      -",
		"pod       absent  created -       -      absent",
		"pod       created -       ready   exited absent",
		"pod       ready   -       -       exited -",
		"pod       exited  -       -       exited absent",
		"pod       unheard -       -       -      -",
	} {
		f := strings.Fields(row)
		from := strings.Replace(f[1], "absent", "", 1)
		for i, ev := range events {
			var to string
			var err error
			if f[0] == "pod" {
				var s lifecycle.PodState
				s, err = lifecycle.NextPod(lifecycle.PodState(from), ev)
				to = string(s)
			} else {
				var s lifecycle.ContainerState
				s, err = lifecycle.NextContainer(lifecycle.ContainerState(from), ev)
				to = string(s)
			}
			want := f[2+i]
			if want != "-" {
				if err != nil || to != strings.Replace(want, "absent", "", 1) {
					t.Errorf("%s %s, %s: %q, %v, want %s", f[0], f[1], ev, to, err, want)
				}
				continue
			}
			var illegal *lifecycle.TransitionError
			if !errors.As(err, &illegal) || !fault.Is(err, fault.Conflict) || to != from {
				t.Errorf("%s %s, %s: %q, %v, want a refusal", f[0], f[1], ev, to, err)
				continue
			}
			if wantText := f[0] + ": cannot " + string(ev) + " while " + f[1]; err.Error() != wantText {
				t.Errorf("text %q, want %q", err, wantText)
			}
		}
	}
}
