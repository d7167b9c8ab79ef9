package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

// shelf is a store of volumes whose removals fail as told.
type shelf struct {
	all  []status.Volume
	fail map[string]error
	// begun is called when a removal begins.
	begun func(name string)
}

func (s *shelf) Named(name string) (string, error) {
	s.all = append(s.all, status.Volume{Name: name})
	return "/" + name, nil
}

func (s *shelf) List() ([]status.Volume, error) { return slices.Clone(s.all), nil }

func (s *shelf) Find(name string) (status.Volume, error) {
	for _, v := range s.all {
		if v.Name == name {
			return v, nil
		}
	}
	return status.Volume{}, fault.New(fault.NotFound, "volume "+name)
}

func (s *shelf) Remove(_ context.Context, name string, users func() []string) error {
	s.begun(name)
	if by := users(); len(by) > 0 {
		return fault.New(fault.Conflict, "in use by "+strings.Join(by, " "))
	}
	return s.fail[name]
}

func (s *shelf) Size(context.Context, status.Volume) (int64, error) { return 10, nil }

type containerList struct {
	Looks
	all []status.Container
}

func (l *containerList) Containers(status.Filter) []status.Container { return l.all }

func mounting(id, podName, name string, mounts ...spec.Mount) status.Container {
	return status.Container{ID: id, PodName: podName, Name: name, Spec: spec.Container{Mounts: mounts}}
}

func TestUsersOfVolumes(t *testing.T) {
	data := spec.Mount{Type: spec.Volume, Source: "data", Target: "/x"}
	changed := mounting("3", "p", "c")
	changed.Adjusted = &spec.Container{Mounts: []spec.Mount{data}}
	all := []status.Container{
		mounting("1", "web", "web", data, data), mounting("2", "db", "db", spec.Mount{Type: spec.Bind, Source: "data"}, spec.Mount{Type: spec.Volume, Source: "database"}), changed,
	}
	for _, tt := range []struct {
		v    status.Volume
		want []string
	}{
		{status.Volume{Name: "data"}, []string{"p/c", "web"}},
		{status.Volume{Name: "logs"}, nil},
		{status.Volume{Name: "anonymous", Owner: "2"}, []string{"db"}},
		{status.Volume{Name: "anonymous", Owner: "4"}, nil},
	} {
		if got := usersOf(tt.v, all); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.v, got, tt.want)
		}
	}
}

// TestVolumePrune: what does not go is told and holds nothing else up; what somebody began to
// use, or removed, meanwhile is passed over.
func TestVolumePrune(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		all  bool
		want []string
		err  error
	}{
		{false, []string{"anonymous", "half"}, nil},
		{true, []string{"anonymous", "half", "named"}, broken},
	} {
		l := &containerList{all: []status.Container{mounting("1", "web", "web", spec.Mount{Type: spec.Volume, Source: "used"})}}
		s := &shelf{fail: map[string]error{"broken": broken, "vanished": fault.New(fault.NotFound, "vanished")}}
		for _, name := range []string{"broken", "late", "named", "used", "vanished"} {
			s.all = append(s.all, status.Volume{Name: name})
		}
		s.all = append(s.all, status.Volume{Name: "half", Removing: true}, status.Volume{Name: "anonymous", Anonymous: true})
		s.begun = func(name string) {
			if name == "late" {
				l.all = append(l.all, mounting("2", "late", "late", spec.Mount{Type: spec.Volume, Source: "late"}))
			}
		}
		var removed []string
		_, err := (&volumes{s, l}).prune(t.Context(), api.VolumePruneParams{All: tt.all}, turnOf[api.VolumeUsage]{Emit: func(v api.VolumeUsage) error {
			removed = append(removed, v.Name)
			return nil
		}})
		if !slices.Equal(removed, tt.want) || !errors.Is(err, tt.err) {
			t.Errorf("all %v: removed %q, %v; want %q, %v", tt.all, removed, err, tt.want, tt.err)
		}
		if err != nil && strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("more than one failure: %v", err)
		}
	}
}
