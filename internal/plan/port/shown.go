package port

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"carob/internal/spec"
)

func protocolName(p spec.Port) string {
	if p.Protocol == "" {
		return "tcp"
	}
	return strings.ToLower(p.Protocol)
}

// Published is where a port of a pod with these addresses is reached: one port per family,
// each with an address of the host, 0.0.0.0 or :: for all.
func Published(p spec.Port, pod []string) (all []spec.Port) {
	ip := hostIP(p)
	for _, s := range pod {
		a, err := netip.ParseAddr(s)
		if err != nil || p.HostPort <= 0 || ip.IsValid() && ip.Is4() != a.Is4() {
			continue
		}
		at := ip
		switch {
		case ip.IsValid():
		case a.Is4():
			at = netip.IPv4Unspecified()
		default:
			at = netip.IPv6Unspecified()
		}
		one := p
		one.HostIP, one.Protocol = at.String(), cmp.Or(p.Protocol, "TCP")
		all = append(all, one)
	}
	return all
}

// Line is how `docker port` shows a published port: "80/tcp -> 0.0.0.0:8080".
func Line(p spec.Port) string {
	return fmt.Sprintf("%d/%s -> %s", p.ContainerPort, protocolName(p), netip.AddrPortFrom(hostIP(p), uint16(p.HostPort)))
}

// Text is how `docker ps` shows published ports, those that follow one another as one
// range: "0.0.0.0:8080->80/tcp, 0.0.0.0:9000-9001->90-91/tcp".
func Text(published []spec.Port) string {
	sorted := slices.SortedFunc(slices.Values(published), func(a, b spec.Port) int {
		x, y := hostIP(a), hostIP(b)
		return cmp.Or(x.Compare(y), strings.Compare(a.Protocol, b.Protocol), cmp.Compare(a.ContainerPort, b.ContainerPort), cmp.Compare(a.HostPort, b.HostPort))
	})
	var words []string
	for len(sorted) > 0 {
		n := run(sorted)
		words = append(words, word(sorted[0], n))
		sorted = sorted[n:]
	}
	return strings.Join(words, ", ")
}

// run counts the ports at the beginning of which each is the last one's next.
func run(all []spec.Port) (n int) {
	for n = 1; n < len(all); n++ {
		next := all[n-1]
		next.ContainerPort++
		next.HostPort++
		next.Name = all[n].Name
		if all[n] != next {
			break
		}
	}
	return n
}

func word(first spec.Port, n int) string {
	span := func(port int) string {
		if n == 1 {
			return strconv.Itoa(port)
		}
		return fmt.Sprintf("%d-%d", port, port+n-1)
	}
	ip := hostIP(first).String()
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	return fmt.Sprintf("%s:%s->%s/%s", ip, span(first.HostPort), span(first.ContainerPort), protocolName(first))
}
