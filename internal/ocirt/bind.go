package ocirt

import (
	"fmt"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
	"carob/internal/sys/task"
	"carob/internal/world"
)

// bind prepares a bind mount.
func (s *scene) bind(i int, o mountopt.Options) error {
	m := &s.spec.Mounts[i]
	if !filepath.IsAbs(m.Source) {
		m.Source = filepath.Join(s.bundle, m.Source)
	}
	mapping, err := s.mapping(*m, o)
	if err != nil {
		return err
	}
	if at, ok := inner(s, i, o); ok {
		if mapping.Users != nil {
			s.inner[initstage.MappingStep(*m)] = mapping
		}
		m.Type, s.files.Inner[i] = "bind", initstage.Inner{Source: at, Mapped: mapping.Users != nil}
		return nil
	}
	if mapping.Users != nil {
		defer mapping.Users.Close()
	}
	source, err := fd.OpenPath(m.Source)
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	f, err := world.Bind(source, *m, mapping)
	if err != nil {
		return err
	}
	m.Type = "bind"
	if !info.IsDir() {
		m.Type = initstage.BindFile
	}
	s.files.Mounts[i] = s.passed.add(f)
	return nil
}

// inner tells whether the source of the i-th mount is made of what earlier ones bring into
// the root, and where it is in there. Mounts are made in order, and runc and crun look
// sources up by the host's paths when everything before is there. Here the path is
// looked up in the container's root: no link of an image's leads out of it.
func inner(s *scene, i int, o mountopt.Options) (at string, ok bool) {
	at, ok = ocispec.Within(s.rootPath(), s.spec.Mounts[i].Source)
	if !ok {
		return "", false
	}
	for _, earlier := range s.spec.Mounts[:i] {
		_, covers := ocispec.Within(earlier.Destination, at)
		_, below := ocispec.Within(at, earlier.Destination)
		if earlier.Type != initstage.Remount && (covers || below && (o.Tree || !o.Bind)) {
			return at, true
		}
	}
	return "", false
}

// mapInner gives a mount that the child has made its mapping.
func mapInner(mapping world.Mapping, pid int, number uint64) error {
	pidfd, err := openProcess(pid)
	if err != nil {
		return err
	}
	defer pidfd.Close()
	f, err := task.Take(pidfd, int(number))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := mount.SetAttributes(f, mount.Attributes{Users: mapping.Users, Recursive: mapping.Tree}); err != nil {
		return fmt.Errorf("id mapping of a mount: %w", err)
	}
	return nil
}

// mapping makes a user namespace with the mapping that a bind mount asks for: its own,
// or the container's.
func (s *scene) mapping(m specs.Mount, o mountopt.Options) (world.Mapping, error) {
	users, groups := m.UIDMappings, m.GIDMappings
	if len(users) == 0 {
		if o.IDMap == mountopt.Unmapped {
			return world.Mapping{}, nil
		}
		users, groups = s.spec.Linux.UIDMappings, s.spec.Linux.GIDMappings
	}
	if len(users) == 0 {
		return world.Mapping{}, fault.New(fault.Invalid, "idmap: neither the mount nor the container has mappings")
	}
	f, err := ns.NewUserOf(func(pid int) error { return task.Map(pid, ranges(users), ranges(groups)) })
	return world.Mapping{Users: f, Tree: o.IDMap == mountopt.MappedTree}, err
}
