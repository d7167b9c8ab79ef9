// Package forward is port-forward: it listens on ports of this machine and connects whoever
// comes with a port of a pod. The daemon makes each connection and passes its socket;
// the bytes are copied here, and do not pass the daemon.
package forward

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
)

// Rule says which port of the pod a port of this machine stands for. Local 0 is any
// free one.
type Rule struct{ Local, Remote uint16 }

// Parse reads a word as kubectl does: "80" is the same port on both sides, "8080:80" are
// two, ":80" takes any free one here. The pod's port may be one of named, by its name.
func Parse(word string, named []spec.Port) (Rule, error) {
	local, remote, two := strings.Cut(word, ":")
	if !two {
		remote = local
	}
	r := Rule{}
	var err error
	if r.Remote, err = pods(remote, named); err != nil {
		return Rule{}, fault.Wrap(fault.Invalid, "port "+strconv.Quote(word), err)
	}
	switch {
	case !two:
		r.Local = r.Remote
	case local != "":
		if r.Local, err = number(local); err != nil {
			return Rule{}, fault.Wrap(fault.Invalid, "port "+strconv.Quote(word), err)
		}
	}
	return r, nil
}

func number(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a number up to 65535", s)
	}
	return uint16(n), nil
}

func pods(s string, named []spec.Port) (uint16, error) {
	for _, p := range named {
		if p.Name != "" && p.Name == s {
			if p.Protocol != "" && p.Protocol != "TCP" {
				return 0, fmt.Errorf("%q is a %s port; only TCP can be forwarded", s, p.Protocol)
			}
			return uint16(p.ContainerPort), nil
		}
	}
	if s != "" && (s[0] < '0' || s[0] > '9') {
		return 0, fmt.Errorf("the pod names no port %.40q", s)
	}
	n, err := number(s)
	if err == nil && n == 0 {
		err = fmt.Errorf("0 is no port of a pod")
	}
	return n, err
}

// Listener is an open port of this machine and what it stands for.
type Listener struct {
	*net.TCPListener
	Remote uint16
}

// Listen opens every rule's port on every address. An address is an IP or "localhost",
// which is 127.0.0.1 and, where this machine has it, ::1, both with one port number.
func Listen(addresses []string, rules []Rule) (ls []Listener, err error) {
	defer func() {
		if err != nil {
			CloseAll(ls)
		}
	}()
	for _, r := range rules {
		for _, a := range addresses {
			more, err := listen(a, r.Local)
			if err != nil {
				return ls, err
			}
			for _, l := range more {
				ls = append(ls, Listener{l, r.Remote})
				r.Local = port(l) // any free one is the same on all addresses
			}
		}
	}
	return ls, nil
}

// CloseAll closes listeners.
func CloseAll(ls []Listener) {
	for _, l := range ls {
		_ = l.Close() // nothing is pending
	}
}

func port(l *net.TCPListener) uint16 {
	a, _ := netip.ParseAddrPort(l.Addr().String()) // a listener's own address can be read
	return a.Port()
}

func listen(address string, port uint16) ([]*net.TCPListener, error) {
	if address != "localhost" {
		ip, err := netip.ParseAddr(address)
		if err != nil {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("--address %.60q: use an IP address or localhost", address))
		}
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, port)))
		if err != nil {
			return nil, fault.Wrap(fault.Conflict, "", err)
		}
		return []*net.TCPListener{l}, nil
	}
	four, err := listen("127.0.0.1", port)
	if err != nil {
		return nil, err
	}
	a, _ := netip.ParseAddrPort(four[0].Addr().String()) // a listener's own address can be read
	six, err := listen("::1", a.Port())
	if err != nil {
		return four, nil //nolint:nilerr // no IPv6 here, or somebody else's port: the IPv4 one is what most programs try
	}
	return append(four, six...), nil
}
