package ask

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"carob/internal/plan/address"
	"carob/internal/plan/port"
	"carob/internal/spec"
)

// networks are the flags that pods and containers have in common.
type networks struct {
	names, ips, aliases, publish []string
	mac                          string
	publishAll                   bool
	fs                           *pflag.FlagSet
}

func (n *networks) bind(fs *pflag.FlagSet) {
	n.fs = fs
	fs.Var((*List)(&n.names), "network", "`NAME` of a network, or private, host, none, container:NAME; several names join several networks")
	fs.Var((*List)(&n.names), "net", "")
	fs.Var((*List)(&n.ips), "ip", "`ADDRESS` in the network, IPv4 or IPv6")
	fs.Var((*List)(&n.ips), "ip6", "")
	for _, flag := range []string{"net", "ip6"} {
		_ = fs.MarkHidden(flag) // it was registered above
	}
	fs.StringVar(&n.mac, "mac-address", "", "hardware `ADDRESS` in the network")
	fs.Var((*List)(&n.aliases), "network-alias", "further name in the network")
	fs.VarP((*List)(&n.publish), "publish", "p", "`PORT` that a port of the host leads to: [[HOSTIP:][HOSTPORT]:]PORT[/PROTOCOL]")
	fs.BoolVarP(&n.publishAll, "publish-all", "P", false, "lead free ports of the host to all that the image exposes")
}

// isMode reports whether a word after --network is a mode of the namespace rather than
// the name of a network.
func isMode(word string) bool {
	return strings.Contains(word, ":") || slices.Contains([]string{"", "own", "private", "pod", "host", "none"}, word)
}

// mode is the mode among the words of --network, "" when networks are named.
func (n *networks) mode() string {
	for _, word := range n.names {
		if isMode(word) {
			return word
		}
	}
	return ""
}

// translate translates networks, addresses and ports.
func (n *networks) translate(q *Request, mode spec.Mode) error {
	if n.mode() != "" && len(n.names) > 1 {
		return clash("network "+n.mode(), "cannot be one of several")
	}
	for _, word := range n.names {
		if !isMode(word) {
			name := word
			if name == "bridge" { // Docker's name for what carob calls so
				name = "default"
			}
			q.Pod.Networks = append(q.Pod.Networks, spec.Join{Network: name})
		}
	}
	if err := n.inOne(q, mode); err != nil {
		return err
	}
	return n.ports(q, mode)
}

// own reports whether the mode is a namespace that is connected to networks.
func own(mode spec.Mode) bool { return mode == "" || mode == spec.Own }

// inOne translates what is asked of the one network there is.
func (n *networks) inOne(q *Request, mode spec.Mode) error {
	for _, flag := range []string{"ip", "ip6", "mac-address", "network-alias"} {
		switch {
		case !n.fs.Changed(flag):
		case !own(mode):
			return clash(flag, "conflicts with --network "+string(mode))
		case len(q.Pod.Networks) > 1:
			return clash(flag, "is for one network; join the others with carob network connect")
		case len(q.Pod.Networks) == 0:
			q.Pod.Networks = []spec.Join{{Network: "default"}}
		}
	}
	for _, ip := range n.ips {
		if _, err := netip.ParseAddr(ip); err != nil {
			return bad("ip", ip, "not an IP address")
		}
	}
	if n.mac != "" && !address.MAC(n.mac) {
		return bad("mac-address", n.mac, "not the hardware address of one interface, like 02:00:00:00:00:01")
	}
	if len(q.Pod.Networks) > 0 {
		j := &q.Pod.Networks[0]
		j.IPs, j.MAC, j.Aliases = n.ips, n.mac, n.aliases
	}
	return nil
}

func (n *networks) ports(q *Request, mode spec.Mode) error {
	if len(n.publish) == 0 && !n.publishAll {
		return nil
	}
	if mode == spec.Host {
		q.Notes = append(q.Notes, "--publish has no meaning with --network host: the ports are the host's")
		return nil
	}
	if !own(mode) {
		return clash("publish", "conflicts with --network "+string(mode))
	}
	for _, word := range n.publish {
		ports, err := port.Parse(word)
		if err != nil {
			return err
		}
		q.Pod.Ports = append(q.Pod.Ports, ports...)
	}
	q.PublishAll = n.publishAll
	return port.Check(q.Pod.Ports)
}
