// Package port decides about ports of the host: how they are written, which of them
// exclude one another, and what the kernel is to be told.
package port

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
)

// most bounds a range: a request is small, what it asks for should be.
const most = 4096

// Parse reads a port as `docker run -p` writes it:
// [[HOSTIP:][HOSTPORT[-LAST]]:]PORT[-LAST][/PROTOCOL]. Without a host port one is
// chosen when the pod starts. IPv6 addresses stand in brackets.
func Parse(s string) ([]spec.Port, error) {
	bad := func(why string) ([]spec.Port, error) {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("port %.80q: %s ([[HOSTIP:][HOSTPORT]:]PORT[/tcp|udp|sctp])", s, why))
	}
	rest, protocol, given := strings.Cut(s, "/")
	if !given {
		protocol = "tcp"
	}
	protocol = strings.ToUpper(protocol)
	if _, ok := Number(protocol); !ok || protocol == "" {
		return bad("protocol unknown")
	}
	host, pod, ok := cutLast(rest)
	ip := ""
	if ok {
		ip, host, ok = cutAddress(host)
		if !ok {
			return bad("not an IP address before the host's port")
		}
	}
	first, count, err := span(pod)
	if err != nil {
		return bad(err.Error())
	}
	hostFirst, step := spec.AnyPort, 0
	if host != "" {
		n := 0
		if hostFirst, n, err = span(host); err != nil {
			return bad(err.Error())
		}
		if n != count {
			return bad("as many ports of the host as of the pod are needed")
		}
		step = 1
	}
	ports := make([]spec.Port, count)
	for i := range ports {
		ports[i] = spec.Port{ContainerPort: first + i, HostPort: hostFirst + i*step, HostIP: ip, Protocol: protocol}
	}
	return ports, nil
}

// cutLast cuts at the last colon.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// cutAddress divides HOSTIP:HOSTPORT or HOSTPORT.
func cutAddress(s string) (ip, port string, ok bool) {
	ip, port, found := cutLast(s)
	if !found || ip == "" {
		return "", port, true
	}
	inside, bracket := strings.CutPrefix(ip, "[")
	inside, closed := strings.CutSuffix(inside, "]")
	a, err := netip.ParseAddr(inside)
	return inside, port, err == nil && bracket == closed && bracket == a.Is6()
}

func span(s string) (first, count int, err error) {
	from, to, ranged := strings.Cut(s, "-")
	a, err := number(from)
	if err != nil {
		return 0, 0, err
	}
	b := a
	if ranged {
		if b, err = number(to); err != nil {
			return 0, 0, err
		}
	}
	if b < a || b-a >= most {
		return 0, 0, fmt.Errorf("a range goes upwards and has %d ports at most", most)
	}
	return a, b - a + 1, nil
}

func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port (1 to 65535)", s)
	}
	return int(n), nil
}

// Number returns the protocol's number; "" is TCP.
func Number(protocol string) (n uint8, ok bool) {
	switch protocol {
	case "", "TCP":
		return 6, true
	case "UDP":
		return 17, true
	case "SCTP":
		return 132, true
	}
	return 0, false
}

// Check refuses ports that are none. Two of one pod that claim the same port of the host
// are refused as those of two pods are: see Table.
func Check(ports []spec.Port) error {
	var t Table
	for _, p := range ports {
		if p.ContainerPort < 1 || p.ContainerPort > 65535 || p.HostPort < spec.AnyPort || p.HostPort > 65535 {
			return fault.New(fault.Invalid, fmt.Sprintf("port %d (host %d): not a port", p.ContainerPort, p.HostPort))
		}
		if _, ok := Number(p.Protocol); !ok {
			return fault.New(fault.Invalid, fmt.Sprintf("port %d: protocol %.20q unknown (TCP, UDP, SCTP)", p.ContainerPort, p.Protocol))
		}
		if _, err := netip.ParseAddr(p.HostIP); p.HostIP != "" && err != nil {
			return fault.New(fault.Invalid, fmt.Sprintf("port %d: host address %.60q: not an IP address", p.ContainerPort, p.HostIP))
		}
		if p.HostPort > 0 {
			if err := t.Claim("the same pod", p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Table knows which ports of the host are taken, and by whom. The zero Table is
// empty.
type Table struct{ taken map[key][]claim }

type key struct {
	protocol uint8
	port     int
}

type claim struct {
	owner string
	ip    netip.Addr // zero: every one
}

// hostIP is the address a port is for, zero for all of both families. 0.0.0.0 and ::
// are all of one family.
func hostIP(p spec.Port) netip.Addr {
	ip, err := netip.ParseAddr(p.HostIP)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap()
}

// Claim takes a port of the host; Exists when one that overlaps is taken.
func (t *Table) Claim(owner string, p spec.Port) error {
	if t.taken == nil {
		t.taken = map[key][]claim{}
	}
	protocol, _ := Number(p.Protocol)
	k, ip := key{protocol, p.HostPort}, hostIP(p)
	for _, c := range t.taken[k] {
		if overlap(c.ip, ip) {
			return fault.New(fault.Exists, fmt.Sprintf("port %d/%s of the host: %s has it", p.HostPort, protocolName(p), c.owner))
		}
	}
	t.taken[k] = append(t.taken[k], claim{owner, ip})
	return nil
}

// Release gives a port back.
func (t *Table) Release(owner string, p spec.Port) {
	protocol, _ := Number(p.Protocol)
	k, ip := key{protocol, p.HostPort}, hostIP(p)
	for i, c := range t.taken[k] {
		if c == (claim{owner, ip}) {
			t.taken[k] = append(t.taken[k][:i:i], t.taken[k][i+1:]...)
			break
		}
	}
	if len(t.taken[k]) == 0 {
		delete(t.taken, k)
	}
}

func overlap(a, b netip.Addr) bool {
	switch {
	case !a.IsValid() || !b.IsValid():
		return true
	case a.Is4() != b.Is4():
		return false
	}
	return a == b || a.IsUnspecified() || b.IsUnspecified()
}

// Way leads one port of the host to one address of a pod.
type Way struct {
	Protocol uint8
	// Host is zero for every address of Pod's family.
	Host     netip.Addr
	HostPort uint16
	Pod      netip.Addr
	PodPort  uint16
}

// Ways says where a published port leads, given the pod's addresses: one way per
// family that both have.
func Ways(p spec.Port, pod []netip.Addr) []Way {
	protocol, _ := Number(p.Protocol)
	ip := hostIP(p)
	var ways []Way
	for _, a := range pod {
		if ip.IsValid() && ip.Is4() != a.Is4() {
			continue
		}
		w := Way{Protocol: protocol, Host: ip, HostPort: uint16(p.HostPort), Pod: a, PodPort: uint16(p.ContainerPort)}
		if ip.IsValid() && ip.IsUnspecified() {
			w.Host = netip.Addr{}
		}
		ways = append(ways, w)
	}
	return ways
}
