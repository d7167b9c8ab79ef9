package network

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"carob/internal/fault"
	"carob/internal/plan/address"
	"carob/internal/plan/bandwidth"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/sys/link"
)

// grant reserves what a pod asks for: addresses in each network, ports of the host. The
// lease has what the pod had before, and from the nth link on what is new.
func (b book) grant(a pod.Attachment, joins []spec.Join) (l *lease, from int, err error) {
	l = &lease{ID: b.names.link(), PodID: a.PodID, Pod: a.Name}
	b.mu.Lock()
	old := b.leases[a.PodID]
	b.mu.Unlock()
	if old != nil {
		if old.Leaving || len(a.Connections) == 0 {
			return nil, 0, fault.New(fault.Conflict, "pod "+a.Name+": an earlier connection is still being taken back")
		}
		*l = *old
		l.Links = slices.Clone(old.Links)
		from = len(l.Links)
	} else if l.Limits, err = bandwidth.Of(a.Spec.Annotations); err != nil {
		return nil, 0, err
	} else if l.Ports, err = wanted(a.Spec.Ports); err != nil {
		return nil, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	added := &lease{PodID: l.PodID, Pod: l.Pod}
	if from == 0 {
		for _, p := range l.Ports {
			if err := b.ports.Claim(l.title(), p); err != nil {
				b.releaseLocked(added)
				return nil, 0, err
			}
			added.Ports = append(added.Ports, p)
		}
	}
	for _, j := range joins {
		k, err := b.linkLocked(l, j)
		if err != nil {
			b.releaseLocked(added)
			return nil, 0, err
		}
		l.Links = append(l.Links, k)
		added.Links = append(added.Links, k)
	}
	b.leases[l.PodID] = l
	return l, from, nil
}

func parsed(texts []string) (ips []netip.Addr) {
	for _, s := range texts {
		if ip, err := netip.ParseAddr(s); err == nil {
			ips = append(ips, ip)
		}
	}
	return ips
}

// linkLocked reserves one link with an address of each family, or takes the one that was
// prepared for the pod.
func (b book) linkLocked(l *lease, j spec.Join) (k leasedLink, err error) {
	n := b.networks[j.Network]
	if n == nil {
		return k, fault.New(fault.NotFound, fmt.Sprintf("network %.80s: no such network", j.Network))
	}
	if slices.ContainsFunc(l.Links, func(o leasedLink) bool { return o.Network == j.Network }) {
		return k, fault.New(fault.Exists, fmt.Sprintf("network %s: pod %s is connected already", j.Network, l.Pod))
	}
	k, made := b.ahead[l.PodID]
	if !made {
		k, err = b.freshLocked(l, j, n)
	}
	delete(b.ahead, l.PodID)
	k.Aliases = j.Aliases
	if l.Limits.Egress > 0 {
		k.Shaper = b.names.link()
	}
	return k, err
}

// freshLocked reserves a link that is yet to be made.
func (b book) freshLocked(l *lease, j spec.Join, n *network) (leasedLink, error) {
	k := leasedLink{Network: j.Network, Host: b.names.link(), Interface: "eth" + strconv.Itoa(free(l.Links)), MAC: j.MAC}
	wishes, err := addresses(j.IPs)
	if err == nil {
		err = k.fill(n, wishes)
	}
	if err != nil {
		b.releaseLocked(&lease{Links: []leasedLink{k}})
		return k, fmt.Errorf("network %s: %w", j.Network, err)
	}
	if k.MAC == "" {
		k.MAC = macOf(k.Addresses[0])
	}
	return k, nil
}

// fill takes an address of each family that network and host have. On an error those
// taken so far are in k.
func (k *leasedLink) fill(n *network, wishes map[bool]netip.Addr) error {
	for _, r := range n.offered() {
		s := r.Subnet()
		ip := wishes[s.Addr().Is4()]
		delete(wishes, s.Addr().Is4())
		var err error
		if ip.IsValid() {
			err = r.Claim(ip)
		} else {
			ip, err = r.Take()
		}
		if err != nil {
			return err
		}
		k.Addresses, k.Gateways, k.Subnets = append(k.Addresses, ip), append(k.Gateways, address.Gateway(s)), append(k.Subnets, s)
	}
	for _, ip := range wishes {
		return fault.New(fault.Invalid, fmt.Sprintf("address %s: network or host have nothing of that family", ip))
	}
	if len(k.Addresses) == 0 {
		return fault.New(fault.Unsupported, "it has only IPv6, which this host has not")
	}
	return nil
}

// addresses sorts the wishes by family, true is IPv4.
func addresses(wishes []string) (map[bool]netip.Addr, error) {
	out := map[bool]netip.Addr{}
	for _, s := range wishes {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("address %.60q: not an IP address", s))
		}
		ip = ip.Unmap()
		if out[ip.Is4()].IsValid() {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("addresses %s and %s: one per family", out[ip.Is4()], ip))
		}
		out[ip.Is4()] = ip
	}
	return out, nil
}

// free is the number of the first interface that no link has.
func free(links []leasedLink) (n int) {
	for slices.ContainsFunc(links, func(k leasedLink) bool { return k.Interface == "eth"+strconv.Itoa(n) }) {
		n++
	}
	return n
}

// macOf makes a locally administered hardware address out of an address.
func macOf(ip netip.Addr) string {
	b := ip.AsSlice()
	return net.HardwareAddr(append([]byte{0x02, 0xca}, b[len(b)-4:]...)).String()
}

// releaseLocked gives addresses and ports back.
func (b book) releaseLocked(l *lease) {
	for _, k := range l.Links {
		if n := b.networks[k.Network]; n != nil {
			for _, ip := range k.Addresses {
				n.rangeOf(ip).Release(ip)
			}
		}
	}
	for _, p := range l.Ports {
		b.ports.Release(l.title(), p)
	}
}

// wanted returns the published ports with numbers, after trying whether a process of
// the host has them. What it has, it would lose.
func wanted(all []spec.Port) (out []spec.Port, err error) {
	for _, p := range all {
		if p.HostPort == 0 {
			continue
		}
		if p, err = try(p); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func try(p spec.Port) (spec.Port, error) {
	n, err := link.FreePort(p.Protocol, p.HostIP, max(p.HostPort, 0)) // 0 lets the kernel choose
	if err != nil {
		return p, fmt.Errorf("port %d of the host: %w", p.HostPort, err)
	}
	p.HostPort = n
	return p, nil
}

// forgetPods drops the tracked connections of addresses.
func forgetPods(leases ...*lease) error {
	gone := map[netip.Addr]bool{}
	for _, l := range leases {
		for _, k := range l.Links {
			for _, ip := range k.Addresses {
				gone[ip] = true
			}
		}
	}
	return link.Forget(func(original, reply link.Flow) bool { return gone[original.Source] || gone[reply.Source] })
}

// forgetUntranslated drops what is tracked of datagrams that came for a port before it
// was published: as long as they go on, the kernel would not look at the table again.
func forgetUntranslated(ports []spec.Port) error {
	const udp = 17
	stale := map[uint16]bool{}
	for _, p := range ports {
		if p.Protocol == "UDP" {
			stale[uint16(p.HostPort)] = true
		}
	}
	if len(stale) == 0 {
		return nil
	}
	return link.Forget(func(original, reply link.Flow) bool {
		return original.Protocol == udp && stale[original.Port] && original.Destination == reply.Source
	})
}
