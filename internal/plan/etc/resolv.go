package etc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carob/internal/spec"
)

// What the C library reads of resolv.conf, and Kubernetes therefore writes.
const (
	maxNameservers = 3
	maxSearches    = 32
)

// resolv: what was asked for stands over what the network says, and that over the
// host's configuration. A file that nothing adds to is the host's own, comments and all.
func (r Request) resolv() (string, error) {
	if r.DNS != nil && r.DNS.Policy == spec.DNSOnly {
		return text(*r.DNS)
	}
	given, names := r.given()
	if r.DNS == nil && given == nil {
		return r.hostText(), nil
	}
	base := parse(r.hostText())
	if given != nil {
		base = fill(*given, base)
	}
	if names && (r.DNS == nil || !slices.ContainsFunc(r.DNS.Options, isNdots)) {
		// A member's name has no dot: it is to be asked for as it is, before any search
		// domain is tried, which would be asked of servers elsewhere (Docker's choice).
		base.Options = override(base.Options, []string{"ndots:0"})
	}
	switch {
	case r.DNS == nil:
	case r.DNS.Policy == spec.DNSAdd:
		base = add(base, *r.DNS)
	default:
		asked := *r.DNS
		if names {
			asked.Nameservers = nil // it is the network's server that asks them: see status.Connection.Names
		}
		base = fill(asked, base)
	}
	base.Searches = base.Searches[:min(len(base.Searches), maxSearches)]
	return text(base)
}

// given is what the first network that says something about names says; names
// reports whether it knows its members.
func (r Request) given() (*spec.DNS, bool) {
	for _, l := range r.Links {
		if l.DNS != nil {
			return l.DNS, l.Names
		}
	}
	return nil, false
}

// hostText is the host's configuration without what the pod does not reach.
func (r Request) hostText() string {
	main := r.host("/etc/resolv.conf")
	if r.Net == spec.Host {
		return main
	}
	out, ok := Reachable(main)
	if ok {
		return out
	}
	// systemd-resolved's stub is on the host's loopback; the servers behind it are here.
	if behind, ok := Reachable(r.host("/run/systemd/resolve/resolv.conf")); ok {
		return behind
	}
	return out
}

// Reachable takes out of the host's resolv.conf the servers on the host's loopback,
// which a network namespace of its own does not reach; ok says whether any server
// is left.
func Reachable(host string) (text string, ok bool) {
	lines := slices.DeleteFunc(strings.SplitAfter(host, "\n"), func(l string) bool {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "nameserver" {
			return false
		}
		ip, err := netip.ParseAddr(f[1])
		if err == nil && ip.IsLoopback() {
			return true
		}
		ok = ok || err == nil
		return false
	})
	return strings.Join(lines, ""), ok
}

// Nameservers are the servers of a resolv.conf, in their order.
func Nameservers(resolv string) []string { return parse(resolv).Nameservers }

// parse reads resolv.conf(5): the last search line counts, what it does not know and
// servers that are no addresses are skipped.
func parse(host string) (d spec.DNS) {
	for line := range strings.Lines(host) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if _, err := netip.ParseAddr(f[1]); err == nil {
				d.Nameservers = union(d.Nameservers, f[1:2])
			}
		case "search", "domain":
			d.Searches = f[1:]
		case "options":
			d.Options = union(d.Options, f[1:])
		}
	}
	return d
}

// fill is d, with base where d says nothing.
func fill(d, base spec.DNS) spec.DNS {
	if len(d.Nameservers) == 0 {
		d.Nameservers = base.Nameservers
	}
	if len(d.Searches) == 0 {
		d.Searches = base.Searches
	}
	if len(d.Options) == 0 {
		d.Options = base.Options
	}
	// Docker's word for "no search domain, not the host's either" is a dot.
	if slices.Equal(d.Searches, []string{"."}) {
		d.Searches = nil
	}
	return d
}

// add is base and d together, as Kubernetes adds a dnsConfig: an option of one name
// replaces the other's, and what the C library would not read is left out.
func add(base, d spec.DNS) spec.DNS {
	base.Nameservers = union(slices.Clone(base.Nameservers), d.Nameservers)
	base.Nameservers = base.Nameservers[:min(len(base.Nameservers), maxNameservers)]
	base.Searches = union(slices.Clone(base.Searches), d.Searches)
	base.Options = override(base.Options, d.Options)
	return base
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

func override(options, more []string) []string {
	out := slices.Clone(options)
	for _, o := range more {
		out = append(slices.DeleteFunc(out, func(have string) bool { return option(have) == option(o) }), o)
	}
	return out
}

func option(word string) string {
	name, _, _ := strings.Cut(word, ":")
	return name
}

func isNdots(word string) bool { return option(word) == "ndots" }

// text is the content of resolv.conf(5). What is no address or not one word is
// Invalid: part of it comes from plugins.
func text(d spec.DNS) (string, error) {
	if err := CheckDNS(d); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, n := range d.Nameservers {
		fmt.Fprintf(&b, "nameserver %s\n", n)
	}
	if len(d.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(d.Searches, " "))
	}
	if len(d.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(d.Options, " "))
	}
	return b.String(), nil
}
