package api

import "carob/internal/status"

// The methods on volumes.
const (
	// VolumeCreate makes a named volume; one that is there is success. Without a name it
	// gets one.
	VolumeCreate  Method[Ref, None, status.Volume]    = "volume-create"
	Volumes       Method[None, None, []status.Volume] = "volumes"
	InspectVolume Method[Ref, None, status.Volume]    = "inspect-volume"
	// VolumeRemove removes a volume that no container uses, running or not.
	VolumeRemove Method[Ref, None, None] = "volume-remove"
	// VolumePrune removes the volumes that no container uses. Its events are those that went,
	// its error those that did not.
	VolumePrune Method[VolumePruneParams, VolumeUsage, None] = "volume-prune"
)

// VolumePruneParams choose unused volumes: anonymous ones, and those whose removal has not
// finished; with All named ones too.
type VolumePruneParams struct {
	All bool `json:"all,omitempty"`
}

// VolumeUsage is a volume and the bytes it occupies.
type VolumeUsage struct {
	status.Volume
	Size int64 `json:"size"`
}
