// Package etc decides the content of the files below /etc that carob writes for every
// pod: hosts, hostname and resolv.conf. Whatever comes from a request or from the
// network is checked to be no more than the one word that it is meant to be. What the
// host's own files say comes through a function; nothing is read or written here.
package etc

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

// Names are the files of this package, as they are called below /etc.
func Names() []string { return []string{"hosts", "hostname", "resolv.conf"} }

// Request is a pod whose files are to be written.
type Request struct {
	Hostname string
	// Net is the effective mode of the pod's network namespace.
	Net spec.Mode
	// Hosts and DNS are what was asked for.
	Hosts []spec.HostAlias
	DNS   *spec.DNS
	// Links are the pod's connections.
	Links []status.Connection
	// Host reads a file of the host; one that cannot be read counts as empty.
	Host func(path string) ([]byte, error)
}

// Files returns the files' contents by their names.
func Files(r Request) (map[string]string, error) {
	hosts, err := r.hosts()
	if err != nil {
		return nil, fmt.Errorf("/etc/hosts: %w", err)
	}
	resolv, err := r.resolv()
	if err != nil {
		return nil, fmt.Errorf("/etc/resolv.conf: %w", err)
	}
	return map[string]string{"hosts": hosts, "hostname": r.Hostname + "\n", "resolv.conf": resolv}, nil
}

func (r Request) host(path string) string {
	b, err := r.Host(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// hosts: in the host's network the host's file holds, as it does for Docker and the
// kubelet.
func (r Request) hosts() (string, error) {
	var b strings.Builder
	if r.Net == spec.Host {
		b.WriteString(r.host("/etc/hosts"))
		if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
			b.WriteByte('\n')
		}
	} else {
		b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
		b.WriteString("fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
		for _, ip := range r.addresses() {
			fmt.Fprintf(&b, "%s\t%s\n", ip, withShort(r.Hostname))
		}
	}
	for _, h := range r.Hosts {
		ips, err := r.meant(h)
		if err != nil {
			return "", err
		}
		for _, ip := range ips {
			fmt.Fprintf(&b, "%s\t%s\n", ip, strings.Join(h.Hostnames, " "))
		}
	}
	return b.String(), nil
}

// addresses are those of the pod's own name. Without a network it is Debian's
// convention, so that the name resolves at least.
func (r Request) addresses() []string {
	if ips := status.IPs(r.Links); len(ips) > 0 {
		return ips
	}
	return []string{"127.0.1.1"}
}

// withShort adds a qualified name's first label, as hostname(1) wants it.
func withShort(name string) string {
	if short, _, qualified := strings.Cut(name, "."); qualified && short != "" {
		return name + " " + short
	}
	return name
}

// meant are the addresses of an alias.
func (r Request) meant(h spec.HostAlias) ([]string, error) {
	if h.IP != spec.HostGateway {
		return []string{h.IP}, nil
	}
	if r.Net == spec.Host {
		return []string{"127.0.0.1"}, nil
	}
	for _, l := range r.Links {
		if len(l.Gateways) > 0 {
			return l.Gateways, nil
		}
	}
	return nil, fault.New(fault.Invalid, fmt.Sprintf("%s for %.80q: the pod has no network with a gateway", spec.HostGateway, strings.Join(h.Hostnames, " ")))
}

var hostName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$`)

// CheckHosts refuses lines that would be more than a line.
func CheckHosts(hosts []spec.HostAlias) error {
	for _, h := range hosts {
		if _, err := netip.ParseAddr(h.IP); err != nil && h.IP != spec.HostGateway {
			return fault.New(fault.Invalid, fmt.Sprintf("host alias %.60q: not an IP address", h.IP))
		}
		for _, n := range h.Hostnames {
			if len(n) > 253 || !hostName.MatchString(n) {
				return fault.New(fault.Invalid, fmt.Sprintf("host alias %.80q: not a host name", n))
			}
		}
		if len(h.Hostnames) == 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("host alias %.60q: without a name", h.IP))
		}
	}
	return nil
}

// CheckDNS refuses what would not be one word of resolv.conf.
func CheckDNS(d spec.DNS) error {
	if !slices.Contains([]spec.DNSPolicy{spec.DNSOnly, spec.DNSFill, spec.DNSAdd}, d.Policy) {
		return fault.New(fault.Invalid, fmt.Sprintf("dns policy %.40q: unknown", d.Policy))
	}
	for _, n := range d.Nameservers {
		if _, err := netip.ParseAddr(n); err != nil {
			return fault.New(fault.Invalid, fmt.Sprintf("dns server %.60q: not an IP address", n))
		}
	}
	for what, words := range map[string][]string{"search": d.Searches, "option": d.Options} {
		for _, w := range words {
			if w == "" || strings.ContainsAny(w, " \t\r\n\x00") {
				return fault.New(fault.Invalid, fmt.Sprintf("dns %s %.80q: not one word", what, w))
			}
		}
	}
	return nil
}
