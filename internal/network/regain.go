package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/status"
	"carob/internal/sys/link"
	"carob/internal/sys/ns"
)

// regain gives a pod that goes on the lease that it had, whatever a daemon that died while
// it took connections back has left of it: one that is leaving, or has fewer links than the
// engine knows of; and also when its record is lost.
func (b heir) regain(a pod.Attachment) error {
	l, changed := b.lastOf(a)
	for i, c := range a.Connections {
		if slices.ContainsFunc(l.Links, func(k leasedLink) bool { return k.Network == c.Network }) {
			continue
		}
		k, err := b.linkOf(c)
		if err != nil {
			return fmt.Errorf("network %s: %w", c.Network, err)
		}
		if i == 0 {
			l.Ports = c.Ports
		}
		l.Links, changed = append(l.Links, k), true
	}
	b.mu.Lock()
	book(b).reclaim(l)
	b.mu.Unlock()
	if !changed {
		return nil
	}
	return b.c.Leases.Put(leaseKind, l.ID, l)
}

// lastOf is a copy of the lease that the pod has or had, or a new one; changed says that its record
// is another.
func (b heir) lastOf(a pod.Attachment) (l *lease, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.leases[a.PodID]; l != nil {
		own := *l
		own.Links = slices.Clone(l.Links)
		return &own, false
	}
	for i, l := range b.ending {
		if l.PodID == a.PodID {
			b.ending = slices.Delete(b.ending, i, i+1)
			l.Leaving = false
			return l, true
		}
	}
	return &lease{ID: b.names.link(), PodID: a.PodID, Pod: a.Name}, true
}

// linkOf is the link of a connection. The pair is the one that the host's routes lead
// to, or a new one: not the uplink, which they lead to as well when there is none.
func (b heir) linkOf(c status.Connection) (leasedLink, error) {
	k := leasedLink{Network: c.Network, Interface: c.Interface, MAC: c.MAC, Aliases: c.Aliases}
	k.Addresses, k.Gateways = parsed(c.IPs), parsed(c.Gateways)
	if len(k.Addresses) == 0 || len(k.Gateways) != len(k.Addresses) {
		return k, fault.New(fault.Invalid, "its addresses are not known")
	}
	b.mu.Lock()
	if n := b.networks[c.Network]; n != nil {
		k.Subnets = slices.DeleteFunc(slices.Clone(n.Subnets), func(s netip.Prefix) bool {
			return !slices.ContainsFunc(k.Addresses, s.Contains)
		})
	}
	b.mu.Unlock()
	var err error
	k.Host, err = link.Towards(k.Addresses[0])
	if err != nil || !strings.HasPrefix(k.Host, b.names.prefix) {
		k.Host = b.names.link()
	}
	return k, nil
}

// restore gives the host back its routes to a pod's links, and makes those that are not there.
func (b heir) restore(a pod.Attachment, there []string) error {
	b.mu.Lock()
	l := b.leases[a.PodID]
	b.mu.Unlock()
	if l == nil {
		return nil // and it was said why
	}
	netns, err := ns.Open(a.Pid, "net")
	if err != nil {
		return err
	}
	defer func() { _ = netns.Close() }()
	mtu, err := link.UplinkMTU()
	if err != nil {
		return err
	}
	var errs []error
	for i, k := range l.Links {
		if slices.Contains(there, k.Host) && (k.Shaper == "" || slices.Contains(there, k.Shaper)) {
			err = link.Restore(l.pair(i, mtu))
		} else if err = link.Delete(k.names()...); err == nil {
			err = book(b).joinOne(netns, l, i, mtu)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", k.Network, err))
		}
	}
	return errors.Join(errs...)
}
