package manifest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// validate checks values as the API server does (k8s.io/kubernetes
// pkg/apis/core/validation), for the fields that carob honours.
func validate(r *report, p *corev1.Pod) {
	validateMeta(r, p)
	s := &p.Spec
	oneOfEnum(r, "spec.restartPolicy", s.RestartPolicy,
		corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever)
	if *s.TerminationGracePeriodSeconds < 0 || *s.TerminationGracePeriodSeconds > 1<<31-1 {
		r.invalidf("spec.terminationGracePeriodSeconds", "%d is not between 0 and %d", *s.TerminationGracePeriodSeconds, 1<<31-1)
	}
	if value(s.ShareProcessNamespace) && s.HostPID {
		r.invalid("spec.shareProcessNamespace", "cannot be true together with hostPID")
	}
	if s.RuntimeClassName != nil {
		r.rules("spec.runtimeClassName", *s.RuntimeClassName, validation.IsDNS1123Subdomain(*s.RuntimeClassName))
	}
	validateHostname(r, s)
	validateDNS(r, s)
	validatePodSecurity(r, s)
	volumes := validateVolumes(r, s)
	if len(s.Containers) == 0 {
		r.invalid("spec.containers", "at least one container is required")
	}
	v := containerCheck{report: r, pod: p, volumes: volumes, names: map[string]string{}, hostPorts: map[string]string{}}
	eachContainer(p, v.check)
}

func validateMeta(r *report, p *corev1.Pod) {
	if p.Name == "" {
		r.invalid("metadata.name", "a name is required")
	} else {
		r.rules("metadata.name", p.Name, validation.IsDNS1123Subdomain(p.Name))
	}
	r.rules("metadata.namespace", p.Namespace, validation.IsDNS1123Label(p.Namespace))
	for _, k := range sortedKeys(p.Labels) {
		r.rules("metadata.labels", k, validation.IsQualifiedName(k))
		r.rules("metadata.labels["+k+"]", p.Labels[k], validation.IsValidLabelValue(p.Labels[k]))
	}
	size := 0
	for _, k := range sortedKeys(p.Annotations) {
		r.rules("metadata.annotations", k, validation.IsQualifiedName(strings.ToLower(k)))
		if strings.HasPrefix(k, ownPrefix) && k != NetworksAnnotation {
			r.invalidf("metadata.annotations", "%q: the prefix %s is carob's own, and of its annotations only %s is yours to give", k, ownPrefix, NetworksAnnotation)
		}
		size += len(k) + len(p.Annotations[k])
	}
	if size > 256<<10 {
		r.invalidf("metadata.annotations", "%d bytes, at most %d", size, 256<<10)
	}
	validateNetworks(r, p)
}

func validateHostname(r *report, s *corev1.PodSpec) {
	if s.Hostname != "" {
		r.rules("spec.hostname", s.Hostname, validation.IsDNS1123Label(s.Hostname))
		if s.HostNetwork {
			r.warn("spec.hostname", "no effect: with hostNetwork the pod has the host's name")
		}
	}
	if h := value(s.HostnameOverride); h != "" {
		r.rules("spec.hostnameOverride", h, validation.IsDNS1123Subdomain(h))
		if len(h) > 64 {
			r.invalidf("spec.hostnameOverride", "%d characters, at most 64", len(h))
		}
		if s.HostNetwork {
			r.invalid("spec.hostnameOverride", "cannot be set together with hostNetwork")
		}
	}
	for i, a := range s.HostAliases {
		at := fmt.Sprintf("spec.hostAliases[%d]", i)
		if !isIP(a.IP) {
			r.invalidf(at+".ip", "%q is not an IP address", a.IP)
		}
		for j, h := range a.Hostnames {
			r.rules(fmt.Sprintf("%s.hostnames[%d]", at, j), h, validation.IsDNS1123Subdomain(h))
		}
	}
}

// validateDNS: limits of resolv.conf as Kubernetes sets them (3 servers, 32 search
// domains, 2048 characters).
func validateDNS(r *report, s *corev1.PodSpec) {
	oneOfEnum(r, "spec.dnsPolicy", s.DNSPolicy,
		corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, corev1.DNSDefault, corev1.DNSNone)
	c := s.DNSConfig
	if s.DNSPolicy == corev1.DNSNone && (c == nil || len(c.Nameservers) == 0) {
		r.invalid("spec.dnsConfig.nameservers", "at least one is required with dnsPolicy None")
	}
	if c == nil {
		return
	}
	if len(c.Nameservers) > maxNameservers {
		r.invalidf("spec.dnsConfig.nameservers", "%d, at most %d", len(c.Nameservers), maxNameservers)
	}
	for i, n := range c.Nameservers {
		if !isIP(n) {
			r.invalidf(fmt.Sprintf("spec.dnsConfig.nameservers[%d]", i), "%q is not an IP address", n)
		}
	}
	validateSearches(r, c)
	for i, o := range c.Options {
		at := fmt.Sprintf("spec.dnsConfig.options[%d]", i)
		if o.Name == "" {
			r.invalid(at+".name", "a name is required")
		}
		if strings.ContainsFunc(o.Name+value(o.Value), isSpaceOrControl) {
			r.invalid(at, "spaces and control characters are not allowed")
		}
	}
}

func validateSearches(r *report, c *corev1.PodDNSConfig) {
	if len(c.Searches) > 32 || len(strings.Join(c.Searches, " ")) > 2048 {
		r.invalid("spec.dnsConfig.searches", "at most 32 domains and 2048 characters")
	}
	for i, d := range c.Searches {
		if d != "." {
			name := strings.TrimSuffix(d, ".")
			r.rules(fmt.Sprintf("spec.dnsConfig.searches[%d]", i), d, validation.IsDNS1123SubdomainWithUnderscore(name))
		}
	}
}

func isSpaceOrControl(c rune) bool { return c <= ' ' || c == 0x7f }

func isIP(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// oneOfEnum checks a string type with a closed set of values.
func oneOfEnum[T ~string](r *report, path string, v T, known ...T) {
	if slices.Contains(known, v) {
		return
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	r.invalidf(path, "%q is not one of %s%s", string(v), strings.Join(names, ", "), didYouMean(string(v), names))
}

func oneOfOptional[T ~string](r *report, path string, v *T, known ...T) {
	if v != nil {
		oneOfEnum(r, path, *v, known...)
	}
}
