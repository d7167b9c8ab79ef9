package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"carob/internal/status"
)

// VolumeRow is a volume in Docker's shape, as `volume inspect` and templates of `volume ls`
// see it, and who uses it.
type VolumeRow struct {
	CreatedAt, Driver, Mountpoint, Name, Scope string
	Labels, Options                            map[string]string
	Anonymous                                  bool
	// Removing says that its removal has begun: it can only be removed.
	Removing   bool
	Containers []string
}

// Volume is a volume in Docker's shape.
func Volume(v status.Volume) VolumeRow {
	return VolumeRow{
		CreatedAt: v.CreatedAt.Format(time.RFC3339), Driver: "local", Mountpoint: v.Mountpoint, Name: v.Name, Scope: "local",
		Anonymous: v.Anonymous, Removing: v.Removing, Containers: append([]string{}, v.Containers...),
	}
}

// Volumes shows volumes.
func Volumes(now time.Time) Sheet[status.Volume] {
	name := func(v status.Volume) string { return v.Name }
	return Sheet[status.Volume]{
		Columns: []Column[status.Volume]{
			{Head: "DRIVER", Text: func(status.Volume) string { return "local" }},
			{Head: "VOLUME NAME", Text: name},
			{Head: "CREATED", Text: func(v status.Volume) string { return units.HumanDuration(now.Sub(v.CreatedAt)) + " ago" }},
			{Head: "CONTAINERS", Text: func(v status.Volume) string {
				if v.Removing {
					return "(being removed)"
				}
				return fmt.Sprint(len(v.Containers))
			}},
			{Head: "USED BY", Wide: true, Text: func(v status.Volume) string { return strings.Join(v.Containers, ",") }},
			{Head: "MOUNTPOINT", Wide: true, Text: func(v status.Volume) string { return v.Mountpoint }},
		},
		Name: name,
		Row:  func(v status.Volume) any { return Volume(v) },
	}
}
