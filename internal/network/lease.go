package network

import (
	"net"
	"net/netip"

	"carob/internal/plan/bandwidth"
	"carob/internal/plan/port"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/link"
	"carob/internal/sys/nft"
)

// lease is what a pod has of the network: the record, and all that is needed to take it
// back.
type lease struct {
	// ID names the record: a pod may have a new lease before its last one has gone.
	ID    string `json:"id"`
	PodID string `json:"podID"`
	Pod   string `json:"pod"`
	// Links are the pod's, that of the default route first.
	Links []leasedLink `json:"links"`
	// Ports are those of the host that lead to the first link.
	Ports []spec.Port `json:"ports,omitempty"`
	// Limits are those of each of the links.
	Limits bandwidth.Limits `json:"limits,omitzero"`
	// Leaving says that it is being taken back: its addresses are still nobody else's, but
	// the table has it no more.
	Leaving bool `json:"leaving,omitempty"`
}

// leasedLink is one pair with its addresses.
type leasedLink struct {
	Network   string       `json:"network"`
	Host      string       `json:"host"`
	Shaper    string       `json:"shaper,omitempty"` // intermediate link for what the pod sends
	Interface string       `json:"interface"`
	MAC       string       `json:"mac,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
	Gateways  []netip.Addr `json:"gateways"`
	// Subnets are the network's, of the families of Addresses.
	Subnets []netip.Prefix `json:"subnets"`
	Aliases []string       `json:"aliases,omitempty"`
	// madeMTU is the MTU that the pair was prepared with, 0 when it was not.
	madeMTU int
}

func (l *lease) title() string { return "pod " + l.Pod }

// elements are the lease's part of the table.
func (l *lease) elements() (e nft.Elements) {
	for i, k := range l.Links {
		e.Sources = append(e.Sources, k.sources()...)
		if i == 0 {
			e.Ports = waysOf(l.Ports, k.Addresses)
		}
	}
	return e
}

// names are those of the links on the host.
func (k leasedLink) names() []string {
	if k.Shaper == "" {
		return []string{k.Host}
	}
	return []string{k.Host, k.Shaper}
}

func (k leasedLink) sources() (out []nft.Source) {
	for _, ip := range k.Addresses {
		out = append(out, nft.Source{Link: k.Host, Address: ip})
	}
	return out
}

func waysOf(ports []spec.Port, pod []netip.Addr) (out []nft.Port) {
	for _, p := range ports {
		for _, w := range port.Ways(p, pod) {
			out = append(out, nft.Port(w))
		}
	}
	return out
}

// pair is the nth of the lease's links.
func (l *lease) pair(n, mtu int) link.Pair {
	k := l.Links[n]
	mac, _ := net.ParseMAC(k.MAC) // it was checked, or made here
	return link.Pair{
		Host: k.Host, Pod: k.Interface, MTU: mtu, MAC: mac, Gateways: k.Gateways, Addresses: k.Addresses,
		Default: n == 0, Subnets: k.Subnets, Localhost: n == 0 && len(l.Ports) > 0,
	}
}

// without is the lease after a network has been left; the links that go are returned.
func (l *lease) without(network string) (rest lease, gone []leasedLink) {
	rest = *l
	rest.Links = nil
	for _, k := range l.Links {
		if network == "" || k.Network == network {
			gone = append(gone, k)
		} else {
			rest.Links = append(rest.Links, k)
		}
	}
	return rest, gone
}

// connections are what the engine records, of the links from the nth on.
func (l *lease) connections(from int) (out []status.Connection) {
	for i, k := range l.Links {
		if i < from {
			continue
		}
		c := status.Connection{
			Network: k.Network, Interface: k.Interface, MAC: k.MAC, IPs: texts(k.Addresses), Gateways: texts(k.Gateways), Aliases: k.Aliases,
		}
		if i == 0 {
			c.Ports = l.Ports
		}
		out = append(out, c)
	}
	return out
}

func texts(ips []netip.Addr) (out []string) {
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}
