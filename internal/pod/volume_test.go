package pod_test

import (
	"os"
	"testing"

	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

// TestVolumesAreShownBeforeTheyAreMade: whoever removes a volume sees the containers that will
// mount it: package volume relies on that.
func TestVolumesAreShownBeforeTheyAreMade(t *testing.T) {
	m := systest.New(t.TempDir())
	d := m.Deps()
	e := newEngine(t, m)
	reached, release := m.Hold("MountImage")
	made := make(chan error, 1)
	go func() {
		_, err := e.CreateSolo(t.Context(), spec.Pod{}, spec.Container{Name: "app", Image: "toolbox", Mounts: []spec.Mount{
			{Type: spec.Image, Source: "toolbox", Target: "/i"}, {Type: spec.Volume, Source: "data", Target: "/v"},
		}})
		made <- err
	}()
	<-reached
	if _, err := os.Stat(d.LibDir + "/volumes/data"); !os.IsNotExist(err) {
		t.Errorf("the volume is made by now: %v", err)
	}
	all := e.Containers(status.Filter{})
	if len(all) != 1 || len(all[0].Wish().Mounts) != 2 || all[0].Wish().Mounts[1].Source != "data" {
		t.Errorf("shown: %+v", all)
	}
	release()
	ok(t, <-made)
	if _, err := os.Stat(d.LibDir + "/volumes/data"); err != nil {
		t.Error(err)
	}
}
