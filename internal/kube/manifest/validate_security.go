package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

func privileged(c *corev1.Container) bool {
	return c.SecurityContext != nil && value(c.SecurityContext.Privileged)
}

func validatePodSecurity(r *report, s *corev1.PodSpec) {
	sc := s.SecurityContext
	if sc == nil {
		return
	}
	const at = "spec.securityContext"
	checkUser(r, at+".runAsUser", sc.RunAsUser)
	checkGroup(r, at+".runAsGroup", sc.RunAsGroup)
	checkGroup(r, at+".fsGroup", sc.FSGroup)
	for i := range sc.SupplementalGroups {
		checkGroup(r, fmt.Sprintf("%s.supplementalGroups[%d]", at, i), &sc.SupplementalGroups[i])
	}
	seen := map[string]bool{}
	for i, ctl := range sc.Sysctls {
		at := fmt.Sprintf("%s.sysctls[%d]", at, i)
		if !sysctlName(ctl.Name) {
			r.invalidf(at+".name", "%q is not a sysctl name", ctl.Name)
		}
		if seen[ctl.Name] {
			r.invalidf(at+".name", "%q is set twice", ctl.Name)
		}
		seen[ctl.Name] = true
	}
	checkSeccomp(r, at+".seccompProfile", sc.SeccompProfile)
	checkAppArmor(r, at+".appArmorProfile", sc.AppArmorProfile)
	checkSELinux(r, at+".seLinuxOptions", sc.SELinuxOptions)
}

// sysctlName: lower-case words of letters, digits, - and _, joined by dots or
// slashes. No empty word and no ".." can name a file elsewhere.
func sysctlName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for _, word := range strings.FieldsFunc("x"+s+"x", func(c rune) bool { return c == '.' || c == '/' }) {
		if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return s != "" && !strings.Contains(s, "..") && !strings.Contains(s, "//") && !strings.ContainsAny(s[:1]+s[len(s)-1:], "./")
}

func (k containerCheck) security(at string, c *corev1.Container) {
	sc := c.SecurityContext
	if sc == nil {
		sc = &corev1.SecurityContext{}
	}
	pod := k.pod.Spec.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	checkUser(k.report, at+".runAsUser", sc.RunAsUser)
	checkGroup(k.report, at+".runAsGroup", sc.RunAsGroup)
	k.identity(at, sc, pod)
	if sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation {
		k.escalation(at+".allowPrivilegeEscalation", sc)
	}
	k.capabilities(at+".capabilities", sc.Capabilities)
	oneOfOptional(k.report, at+".procMount", sc.ProcMount, corev1.DefaultProcMount, corev1.UnmaskedProcMount)
	if value(sc.ProcMount) == corev1.UnmaskedProcMount && value(k.pod.Spec.HostUsers) {
		k.invalid(at+".procMount", "Unmasked needs a user namespace: hostUsers must not be true")
	}
	checkSeccomp(k.report, at+".seccompProfile", sc.SeccompProfile)
	checkAppArmor(k.report, at+".appArmorProfile", sc.AppArmorProfile)
	checkSELinux(k.report, at+".seLinuxOptions", sc.SELinuxOptions)
}

func (k containerCheck) identity(at string, sc *corev1.SecurityContext, pod *corev1.PodSecurityContext) {
	user, group := or(sc.RunAsUser, pod.RunAsUser), or(sc.RunAsGroup, pod.RunAsGroup)
	if group != nil && user == nil {
		k.unsupported(at+".runAsGroup", notSupported+" without runAsUser")
	}
	if user != nil && *user == 0 && value(or(sc.RunAsNonRoot, pod.RunAsNonRoot)) {
		k.invalid(at+".runAsNonRoot", "true, but runAsUser is 0")
	}
}

// escalation: what implies privilege cannot be had while refusing to gain any.
func (k containerCheck) escalation(at string, sc *corev1.SecurityContext) {
	if value(sc.Privileged) {
		k.invalid(at, "cannot be false in a privileged container")
	}
	if sc.Capabilities != nil && slices.ContainsFunc(sc.Capabilities.Add, isSysAdmin) {
		k.invalid(at, "cannot be false with the capability SYS_ADMIN")
	}
}

func isSysAdmin(c corev1.Capability) bool { return c == "SYS_ADMIN" || c == "CAP_SYS_ADMIN" }

func (k containerCheck) capabilities(at string, caps *corev1.Capabilities) {
	if caps == nil {
		return
	}
	for i, c := range caps.Add {
		k.capability(fmt.Sprintf("%s.add[%d]", at, i), c)
	}
	for i, c := range caps.Drop {
		k.capability(fmt.Sprintf("%s.drop[%d]", at, i), c)
	}
}

// capability checks the form only: which ones exist depends on the kernel.
func (k containerCheck) capability(at string, c corev1.Capability) {
	if c == "" || strings.Trim(string(c), "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" {
		k.invalidf(at, "%q is not a capability (such as NET_ADMIN, or ALL)", string(c))
	}
}

func checkUser(r *report, at string, id *int64) {
	if id != nil {
		r.rules(at, fmt.Sprint(*id), validation.IsValidUserID(*id))
	}
}

func checkGroup(r *report, at string, id *int64) {
	if id != nil {
		r.rules(at, fmt.Sprint(*id), validation.IsValidGroupID(*id))
	}
}

func checkSeccomp(r *report, at string, p *corev1.SeccompProfile) {
	if p == nil {
		return
	}
	oneOfEnum(r, at+".type", p.Type, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined,
		corev1.SeccompProfileTypeLocalhost)
	file := value(p.LocalhostProfile)
	switch {
	case p.Type != corev1.SeccompProfileTypeLocalhost:
		if p.LocalhostProfile != nil {
			r.invalid(at+".localhostProfile", "only with type Localhost")
		}
	case file == "":
		r.invalid(at+".localhostProfile", "a path is required with type Localhost")
	case path.IsAbs(file) || slices.Contains(strings.Split(file, "/"), ".."):
		r.invalidf(at+".localhostProfile", "%q is not a path below the profile directory", file)
	}
}

func checkAppArmor(r *report, at string, p *corev1.AppArmorProfile) {
	if p == nil {
		return
	}
	oneOfEnum(r, at+".type", p.Type, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined,
		corev1.AppArmorProfileTypeLocalhost)
	name := value(p.LocalhostProfile)
	switch {
	case p.Type != corev1.AppArmorProfileTypeLocalhost:
		if p.LocalhostProfile != nil {
			r.invalid(at+".localhostProfile", "only with type Localhost")
		}
	case strings.TrimSpace(name) == "" || name != strings.TrimSpace(name) || len(name) > 4095:
		r.invalidf(at+".localhostProfile", "%q is not a profile name", name)
	}
}

// checkSELinux: user, role and type are one word of a context; only the level may
// contain colons.
func checkSELinux(r *report, at string, o *corev1.SELinuxOptions) {
	if o == nil {
		return
	}
	for _, part := range [][2]string{{"user", o.User}, {"role", o.Role}, {"type", o.Type}} {
		if strings.ContainsFunc(part[1], func(c rune) bool { return c == ':' || isSpaceOrControl(c) }) {
			r.invalidf(at+"."+part[0], "%q is not a part of an SELinux context", part[1])
		}
	}
	if strings.ContainsFunc(o.Level, isSpaceOrControl) {
		r.invalidf(at+".level", "%q is not an SELinux level", o.Level)
	}
}
