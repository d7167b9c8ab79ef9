package cni

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

// maxAddresses bounds what one network may give a pod.
const maxAddresses = 64

// connection is what a result of the network's plugins says about the pod's interface.
func connection(network, ifname string, result types.Result) (status.Connection, error) {
	c := status.Connection{Network: network, Interface: ifname}
	r, err := types100.NewResultFromResult(result)
	if err != nil {
		return c, fault.Wrap(fault.Internal, "result", err)
	}
	if len(r.IPs) > maxAddresses || len(r.Interfaces) > maxAddresses {
		return c, fault.New(fault.Internal, fmt.Sprintf("result: %d addresses of %d interfaces, at most %d", len(r.IPs), len(r.Interfaces), maxAddresses))
	}
	for _, i := range r.Interfaces {
		if i != nil && i.Name == ifname && i.Sandbox != "" {
			c.MAC = i.Mac
		}
	}
	for _, ip := range r.IPs {
		if ip != nil && ofInterface(r, ip, ifname) {
			c.IPs = withAddress(c.IPs, ip.Address.IP)
			c.Gateways = withAddress(c.Gateways, ip.Gateway)
		}
	}
	c.DNS = resolving(r.DNS)
	return c, nil
}

// published are the ports of the host that plugins were told to lead to the pod.
func published(s *spec.Pod) (ports []spec.Port) {
	for _, p := range s.Ports {
		if p.HostPort > 0 {
			ports = append(ports, p)
		}
	}
	return ports
}

// resolving is nil when the plugins say nothing about names.
func resolving(d types.DNS) *spec.DNS {
	if d.IsEmpty() {
		return nil
	}
	out := &spec.DNS{Nameservers: d.Nameservers, Searches: d.Search, Options: d.Options}
	if len(d.Search) == 0 && d.Domain != "" {
		out.Searches = []string{d.Domain}
	}
	return out
}

// ofInterface reports whether an address is the pod's interface's; one that names no
// interface is, as older results have it.
func ofInterface(r *types100.Result, ip *types100.IPConfig, ifname string) bool {
	if ip.Interface == nil {
		return true
	}
	n := *ip.Interface
	if n < 0 || n >= len(r.Interfaces) || r.Interfaces[n] == nil {
		return false
	}
	i := r.Interfaces[n]
	return i.Sandbox != "" && (i.Name == ifname || i.Name == "")
}

// withAddress adds an address that is one and not there yet.
func withAddress(all []string, ip net.IP) []string {
	a, ok := netip.AddrFromSlice(ip)
	if text := a.Unmap().String(); ok && !slices.Contains(all, text) {
		return append(all, text)
	}
	return all
}
