package manifest

import (
	"bufio"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"carob/internal/spec"
)

// maxNameservers is what the C library reads of resolv.conf.
const maxNameservers = 3

// resolver is nil when the host's configuration serves as it is. A dnsConfig adds
// to it, or with dnsPolicy None replaces it.
func resolver(s *corev1.PodSpec, host spec.DNS) *spec.DNS {
	c := s.DNSConfig
	if c == nil {
		return nil
	}
	out := spec.DNS{}
	if s.DNSPolicy != corev1.DNSNone {
		out = spec.DNS{Nameservers: slices.Clone(host.Nameservers), Searches: slices.Clone(host.Searches), Options: slices.Clone(host.Options)}
	}
	out.Nameservers = union(out.Nameservers, c.Nameservers)
	if len(out.Nameservers) > maxNameservers {
		out.Nameservers = out.Nameservers[:maxNameservers]
	}
	out.Searches = union(out.Searches, c.Searches)
	for _, o := range c.Options {
		out.Options = slices.DeleteFunc(out.Options, func(have string) bool {
			name, _, _ := strings.Cut(have, ":")
			return name == o.Name
		})
		word := o.Name
		if o.Value != nil {
			word += ":" + *o.Value
		}
		out.Options = append(out.Options, word)
	}
	return &out
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// ParseResolver reads resolv.conf(5): the last search line counts, what it does not
// know is skipped.
func ParseResolver(r io.Reader) (spec.DNS, error) {
	var d spec.DNS
	lines := bufio.NewScanner(io.LimitReader(r, 64<<10))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			d.Nameservers = union(d.Nameservers, f[1:2])
		case "search", "domain":
			d.Searches = f[1:]
		case "options":
			d.Options = union(d.Options, f[1:])
		}
	}
	return d, lines.Err()
}
