package asked

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// user is who the container runs as, in Docker's form; "" is the image's word.
func user(s *cri.LinuxContainerSecurityContext) (string, error) {
	name := s.GetRunAsUsername()
	if s.GetRunAsUser() != nil {
		if name != "" {
			return "", invalid("security_context", "run_as_user and run_as_username exclude each other")
		}
		uid, err := id("run_as_user", s.GetRunAsUser().GetValue())
		if err != nil {
			return "", err
		}
		name = uid
	}
	if s.GetRunAsGroup() == nil {
		return name, nil
	}
	if name == "" {
		return "", invalid("security_context.run_as_group", "needs run_as_user or run_as_username")
	}
	gid, err := id("run_as_group", s.GetRunAsGroup().GetValue())
	return name + ":" + gid, err
}

func groups(in []int64) ([]string, error) {
	out := make([]string, 0, len(in))
	for _, g := range in {
		gid, err := id("supplemental_groups", g)
		if err != nil {
			return nil, err
		}
		out = append(out, gid)
	}
	return out, nil
}

func id(field string, n int64) (string, error) {
	if n < 0 || n > math.MaxInt32 {
		return "", invalid("security_context."+field, "%d is not from 0 to %d", n, math.MaxInt32)
	}
	return strconv.FormatInt(n, 10), nil
}

// seccomp is the filter: none unless it is asked for, and none for the privileged,
// whatever they ask for.
func seccomp(s *cri.LinuxContainerSecurityContext, h Host) (string, error) {
	if s.GetPrivileged() {
		return unconfined, nil
	}
	p := s.GetSeccomp()
	if p == nil {
		//lint:ignore SA1019 older kubelets use it
		p = oldProfile(s.GetSeccompProfilePath())
	}
	switch {
	case p == nil || p.GetProfileType() == cri.SecurityProfile_Unconfined:
		return unconfined, nil
	case p.GetProfileType() == cri.SecurityProfile_RuntimeDefault:
		return "default", nil
	case p.GetProfileType() == cri.SecurityProfile_Localhost:
		text, err := h.ReadProfile(strings.TrimPrefix(p.GetLocalhostRef(), localhost))
		return text, err
	}
	return "", invalid("security_context.seccomp", "profile type %d is unknown", p.GetProfileType())
}

// appArmor is the profile of the container. Without a word it is the runtime's default
// where there is one (kubernetes#51746); a privileged container has none.
func appArmor(s *cri.LinuxContainerSecurityContext, h Host) (string, error) {
	p := s.GetApparmor()
	if p == nil {
		//lint:ignore SA1019 older kubelets use it
		p = oldProfile(s.GetApparmorProfile())
	}
	switch {
	case s.GetPrivileged():
		return unconfined, nil
	case p == nil:
		return "", nil
	case p.GetProfileType() == cri.SecurityProfile_Unconfined:
		return unconfined, nil
	case p.GetProfileType() == cri.SecurityProfile_RuntimeDefault:
		return "default", nil
	case p.GetProfileType() != cri.SecurityProfile_Localhost:
		return "", invalid("security_context.apparmor", "profile type %d is unknown", p.GetProfileType())
	case p.GetLocalhostRef() == "":
		return "", invalid("security_context.apparmor", "a localhost profile without a name")
	}
	name := strings.TrimPrefix(p.GetLocalhostRef(), localhost)
	if err := h.CheckAppArmor(name); err != nil {
		return "", fmt.Errorf("security_context.apparmor: profile %.100q: %w", name, err)
	}
	return name, nil
}

const (
	localhost  = "localhost/"
	unconfined = "unconfined" // a profile's name for none, in package spec's words
)

// oldProfile reads the deprecated words for a profile: "", runtime/default,
// docker/default, unconfined, localhost/NAME.
func oldProfile(word string) *cri.SecurityProfile {
	switch {
	case word == "":
		return nil
	case word == "runtime/default" || word == "docker/default":
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}
	case strings.HasPrefix(word, localhost):
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: strings.TrimPrefix(word, localhost)}
	}
	return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
}

// selinux is user:role:type:level; the plan fills in what is not given. As Kubernetes says of
// its field, it has no effect on a host without SELinux: system pods ask for spc_t everywhere.
func selinux(o *cri.SELinuxOption, h Host) string {
	if !h.Facts.SELinux || o.GetUser()+o.GetRole()+o.GetType()+o.GetLevel() == "" {
		return ""
	}
	return strings.Join([]string{o.GetUser(), o.GetRole(), o.GetType(), o.GetLevel()}, ":")
}
