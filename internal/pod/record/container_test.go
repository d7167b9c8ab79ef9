package record

import (
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

func TestLifeOfAContainer(t *testing.T) {
	asked := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	var r Container
	r.Resume = "/archive"
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(r.Move(lifecycle.Create))
	r.Ask(true, asked)
	if !r.Stopped || !r.Starting || r.RestartDue() {
		t.Errorf("a start by hand that fails would be repeated: %+v", r)
	}
	do(r.Start(42))
	if s := r.Status; r.Stopped || r.Starting || r.Resume != "" || s.Pid != 42 || s.StartedAt != asked {
		t.Errorf("runs: %+v", r)
	}
	if err := r.Start(43); !fault.Is(err, fault.Conflict) {
		t.Errorf("started twice: %v", err)
	}
	do(r.Lose(status.Exit{Code: 255, At: asked.Add(time.Hour)}))
	if s := r.Status; s.Pid != 0 || s.Reason != Lost || s.Message == "" || !r.Forgotten {
		t.Errorf("lost: %+v", r)
	}
	r.Ask(false, asked.Add(2*time.Hour))
	if r.Status.RestartCount != 1 || r.Stopped {
		t.Errorf("restarted: %+v", r)
	}
	r.Fail(125, "no such device")
	if s := r.Status; r.Starting || s.State != lifecycle.ContainerExited || s.Reason != StartError || s.ExitCode != 125 {
		t.Errorf("failed: %+v", r)
	}
}

func TestRestartDue(t *testing.T) {
	exited := func(policy spec.RestartPolicy, most, count, code int) Container {
		var r Container
		r.Status.State = lifecycle.ContainerExited
		r.Status.Spec.Restart = spec.Restart{Policy: policy, MaxRetries: most}
		r.Status.RestartCount, r.Status.ExitCode = count, code
		return r
	}
	for name, c := range map[string]struct {
		r    Container
		want bool
	}{
		"no policy":               {exited("", 0, 0, 1), false},
		"always":                  {exited(spec.RestartAlways, 0, 0, 0), true},
		"unless stopped":          {exited(spec.RestartUnlessStopped, 0, 0, 0), true},
		"on failure, a success":   {exited(spec.RestartOnFailure, 0, 0, 0), false},
		"on failure, without end": {exited(spec.RestartOnFailure, 0, 99, 1), true},
		"on failure, once more":   {exited(spec.RestartOnFailure, 3, 2, 1), true},
		"on failure, enough":      {exited(spec.RestartOnFailure, 3, 3, 1), false},
	} {
		if c.r.RestartDue() != c.want {
			t.Errorf("%s: not %v", name, c.want)
		}
		c.r.Stopped = true
		if c.r.RestartDue() {
			t.Errorf("%s: restarts though it was stopped", name)
		}
	}
}

func TestEndSignal(t *testing.T) {
	var r Container
	for _, c := range []struct {
		image, asked string
		want         int
	}{{"", "", 15}, {"SIGQUIT", "", 3}, {"SIGQUIT", "SIGINT", 2}, {"rubbish", "", 15}} {
		r.Image.StopSignal, r.Status.Spec.StopSignal = c.image, c.asked
		if got := r.EndSignal(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}

func TestPodWakesAgain(t *testing.T) {
	r := Pod{Since: time.Now()}
	for _, step := range []func() error{func() error { return r.Move(lifecycle.Create) }, r.Wake, r.Exit, r.Wake} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if r.Status.State != lifecycle.PodReady {
		t.Error(r.Status.State)
	}
	if err := r.Wake(); !fault.Is(err, fault.Conflict) {
		t.Errorf("woken twice: %v", err)
	}
}
