package ocispec

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// intelRdt checks linux.intelRdt as far as it can be without the machine: a class is a
// directory's name, or "/" for what all have.
func intelRdt(s *specs.Spec) error {
	r := s.Linux.IntelRdt
	if r == nil {
		return nil
	}
	// What the kernel has in the directory itself is no class.
	kernels := []string{".", "..", "info", "mon_data", "mon_groups"}
	class := r.ClosID == "/" || len(r.ClosID) < 256 && !strings.ContainsAny(r.ClosID, "/\n\x00") && !slices.Contains(kernels, r.ClosID)
	err := first(
		refusal{!class, invalid("linux.intelRdt.closID", "%.80q is no name of a class of service", r.ClosID)},
		refusal{hasNUL(r.L3CacheSchema), invalid("linux.intelRdt.l3CacheSchema", "a NUL byte")},
		refusal{r.MemBwSchema != "" && (!strings.HasPrefix(r.MemBwSchema, "MB:") || strings.ContainsAny(r.MemBwSchema, "\n\x00")),
			invalid("linux.intelRdt.memBwSchema", "%.80q is not one line that begins with MB:", r.MemBwSchema)},
	)
	for i, line := range r.Schemata {
		if err == nil && (line == "" || strings.ContainsAny(line, "\n\x00")) {
			err = invalid(fmt.Sprintf("linux.intelRdt.schemata[%d]", i), "%.80q is not one line", line)
		}
	}
	return err
}
