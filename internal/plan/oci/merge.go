package oci

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Merge lays the limits of change over those of base: every limit that change
// names replaces base's.
func Merge(base, change *specs.LinuxResources) *specs.LinuxResources {
	if base == nil {
		return change
	}
	out := *base
	// JSON has exactly the wanted meaning: what change leaves out stays.
	whole, err := json.Marshal(base)
	if err != nil {
		return change
	}
	part, err := json.Marshal(change)
	if err != nil {
		return change
	}
	out = specs.LinuxResources{}
	if json.Unmarshal(whole, &out) != nil || json.Unmarshal(part, &out) != nil {
		return change
	}
	return &out
}
