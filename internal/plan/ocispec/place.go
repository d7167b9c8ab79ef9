package ocispec

import (
	"path"
	"reflect"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/cgroup"
)

// Unit is a scope of systemd's.
type Unit = cgroup.Unit

// Place is where a container's cgroup is.
type Place struct {
	// Path is below the roots of the hierarchies.
	Path string
	// Scope is systemd's, around the group; nil where it is not asked.
	Scope *Unit
}

// inScope is the container's own group in its scope, on which there are no limits: with
// each daemon-reload systemd would write its own over them. crun has one of this name.
const inScope = "/container"

// Group decides where a container's cgroup is. By plain files, engines ask for an
// absolute path; what is relative is placed below /carob-oci; without one there is no
// parent to make. By systemd, they ask for slice:prefix:name.
func Group(s *specs.Spec, id string, systemd bool) (Place, error) {
	p := s.Linux.CgroupsPath
	if systemd {
		return scope(p, id)
	}
	if strings.Count(p, ":") == 2 && !strings.Contains(p, "/") {
		return Place{}, invalid("linux.cgroupsPath", "%.80q is systemd's form: it needs --systemd-cgroup", p)
	}
	if p == "" {
		return Place{Path: "/carob-oci-" + id}, nil
	}
	clean := path.Clean("/" + p)
	if clean == "/" {
		return Place{}, invalid("linux.cgroupsPath", "%.80q is the root of the hierarchy", p)
	}
	if !path.IsAbs(p) {
		return Place{Path: path.Join("/carob-oci", clean)}, nil
	}
	return Place{Path: clean}, nil
}

// Limited tells whether anything is asked for that takes a cgroup, besides rules for
// devices.
func Limited(r *specs.LinuxResources) bool {
	c := *r
	c.Devices = nil
	return !reflect.DeepEqual(c, specs.LinuxResources{})
}

func scope(asked, id string) (Place, error) {
	if asked == "" {
		asked = ":carob-oci:" + id
	}
	if strings.Count(asked, ":") != 2 { // in the words that engines know
		return Place{}, invalid("linux.cgroupsPath", "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %.80q instead", asked)
	}
	u, err := cgroup.ParseUnit(asked)
	if err != nil {
		return Place{}, err
	}
	if !strings.HasSuffix(u.Name, ".scope") {
		return Place{}, unsupported("linux.cgroupsPath", u.Name+": systemd gives no slice away, only scopes")
	}
	at, err := u.Path()
	return Place{at + inScope, &u}, fault.Wrap(fault.Invalid, "linux.cgroupsPath", err)
}
