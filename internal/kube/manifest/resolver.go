package manifest

import (
	corev1 "k8s.io/api/core/v1"

	"carob/internal/spec"
)

// maxNameservers is what the C library reads of resolv.conf.
const maxNameservers = 3

// resolver is nil when the host's configuration serves as it is. A dnsConfig adds
// to it, or with dnsPolicy None replaces it.
func resolver(s *corev1.PodSpec) *spec.DNS {
	c := s.DNSConfig
	if c == nil {
		return nil
	}
	out := &spec.DNS{Policy: spec.DNSAdd, Nameservers: c.Nameservers, Searches: c.Searches}
	if s.DNSPolicy == corev1.DNSNone {
		out.Policy = spec.DNSOnly
	}
	for _, o := range c.Options {
		word := o.Name
		if o.Value != nil {
			word += ":" + *o.Value
		}
		out.Options = append(out.Options, word)
	}
	return out
}
