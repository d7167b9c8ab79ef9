// Package etc decides the content of the files below /etc that carob writes for every
// pod: hosts and resolv.conf. Whatever comes from a request is checked to be no more
// than the one word that it is meant to be.
package etc

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
)

var hostName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Hosts is the content of /etc/hosts: the loopback, the pod's own name, and
// what was asked for.
func Hosts(hostname string, ips []string, extra []spec.HostAlias) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	if len(ips) == 0 {
		ips = []string{"127.0.1.1"} // Debian's convention: the name resolves without a network
	}
	for _, ip := range ips {
		fmt.Fprintf(&b, "%s\t%s\n", ip, hostname)
	}
	for _, h := range extra {
		fmt.Fprintf(&b, "%s\t%s\n", h.IP, strings.Join(h.Hostnames, " "))
	}
	return b.String()
}

// CheckHosts refuses lines that would be more than a line.
func CheckHosts(hosts []spec.HostAlias) error {
	for _, h := range hosts {
		if _, err := netip.ParseAddr(h.IP); err != nil {
			return fault.New(fault.Invalid, fmt.Sprintf("host alias %.60q: not an IP address", h.IP))
		}
		for _, n := range h.Hostnames {
			if len(n) > 253 || !hostName.MatchString(n) {
				return fault.New(fault.Invalid, fmt.Sprintf("host alias %.80q: not a host name", n))
			}
		}
	}
	return nil
}

// Resolv is the content of resolv.conf(5). What is no address or not one word is
// Invalid.
func Resolv(d spec.DNS) (string, error) {
	var b strings.Builder
	for _, n := range d.Nameservers {
		if _, err := netip.ParseAddr(n); err != nil {
			return "", fault.New(fault.Invalid, fmt.Sprintf("dns server %.60q: not an IP address", n))
		}
		fmt.Fprintf(&b, "nameserver %s\n", n)
	}
	for what, words := range map[string][]string{"search": d.Searches, "option": d.Options} {
		for _, w := range words {
			if w == "" || strings.ContainsAny(w, " \t\r\n\x00") {
				return "", fault.New(fault.Invalid, fmt.Sprintf("dns %s %.80q: not one word", what, w))
			}
		}
	}
	if len(d.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(d.Searches, " "))
	}
	if len(d.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(d.Options, " "))
	}
	return b.String(), nil
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
