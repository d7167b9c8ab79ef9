package record

import (
	"encoding/json"
	"fmt"

	"carob/internal/fault"
	"carob/internal/plan/check"
)

// Store is what records are read from: see pod.Store.
type Store interface {
	Load(kind string, each func(id string, raw []byte) error) error
}

// LoadPods reads all pods' records. Of an error it is known which record is not whole.
func LoadPods(s Store, each func(Pod)) error {
	return s.Load(PodKind, func(id string, raw []byte) error {
		var r Pod
		if err := decode(raw, &r, "pod "+id); err != nil {
			return err
		}
		if r.Status.ID != id || !check.ID(id) {
			return fault.New(fault.Invalid, "pod "+id+": record: is another pod's")
		}
		r.Status.Containers = nil // their own records tell
		each(r)
		return nil
	})
}

// LoadContainers reads all containers' records.
func LoadContainers(s Store, each func(Container) error) error {
	return s.Load(ContainerKind, func(id string, raw []byte) error {
		var r Container
		if err := decode(raw, &r, "container "+id); err != nil {
			return err
		}
		if r.Status.ID != id || !check.ID(id) {
			return fault.New(fault.Invalid, "container "+id+": record: is another container's")
		}
		return each(r)
	})
}

func decode(raw []byte, into any, title string) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: record: %w", title, err)
	}
	return nil
}
