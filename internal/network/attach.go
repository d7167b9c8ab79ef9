package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/link"
	"carob/internal/sys/ns"
	"carob/internal/undo"
)

// Attach connects a pod; see pod.Network.
func (b *Builtin) Attach(ctx context.Context, a pod.Attachment) (_ []status.Connection, err error) {
	joins := a.Joins
	if len(joins) == 0 {
		joins = []spec.Join{{Network: Default}}
	}
	netns, err := ns.Open(a.Pid, "net")
	if err != nil {
		return nil, err
	}
	defer func() { _ = netns.Close() }()
	b.turn.RLock()
	defer b.turn.RUnlock()
	var networks []string
	for _, j := range joins {
		networks = append(networks, j.Network)
	}
	if err := (ground{b}).prepare(networks); err != nil {
		return nil, err
	}
	var u undo.Stack
	defer u.OnError(ctx, &err)
	l, from, err := book{b}.grant(a, joins)
	if err != nil {
		return nil, err
	}
	added := &lease{PodID: l.PodID, Pod: l.Pod, Links: l.Links[from:]}
	if from == 0 {
		added.Ports = l.Ports
	}
	u.Push("lease", func(context.Context) error { return book{b}.withdraw(l, added) })
	if err := b.c.Leases.Put(leaseKind, l.PodID, l); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	admitted := make(chan error, 1)
	go func() { admitted <- book{b}.admit(added) }()
	err = book{b}.join(netns, l, from)
	if err := errors.Join(err, <-admitted); err != nil {
		return nil, err
	}
	return l.connections(from), nil
}

// admit takes a lease's new part into the table, and lets nobody find the way that
// packets for its ports took before.
func (b book) admit(added *lease) error {
	err := b.table.Add(added.elements())
	if fault.Is(err, fault.NotFound) { // it has just been flushed
		err = b.table.Replace(ground(b).content())
	}
	if err != nil {
		return err
	}
	return forgetUntranslated(added.Ports)
}

// join makes the lease's links from the nth on.
func (b book) join(netns *os.File, l *lease, from int) error {
	mtu, err := link.UplinkMTU()
	if err != nil {
		return err
	}
	for i, k := range l.Links {
		if i < from {
			continue
		}
		mac, _ := net.ParseMAC(k.MAC) // it was checked, or made here
		err := link.Connect(netns, link.Pair{
			Host: k.Host, Pod: k.Interface, MTU: mtu, MAC: mac, Gateways: k.Gateways, Addresses: k.Addresses,
			Default: i == 0, Subnets: k.Subnets, Localhost: i == 0 && len(l.Ports) > 0,
		})
		if err != nil {
			return fmt.Errorf("network %s: %w", k.Network, err)
		}
	}
	return nil
}

// Detach takes a pod's connections back; see pod.Network. The pairs of a pod that ends
// go with its namespace.
func (b *Builtin) Detach(_ context.Context, podID, network string) error {
	b.turn.RLock()
	defer b.turn.RUnlock()
	b.mu.Lock()
	l := b.leases[podID]
	b.mu.Unlock()
	if l == nil {
		return nil
	}
	rest, gone := l.without(network)
	if len(gone) == 0 {
		return nil
	}
	left := &lease{PodID: l.PodID, Pod: l.Pod, Links: gone}
	if len(rest.Links) == 0 {
		left.Ports = l.Ports
	} else if gone[0].Network == l.Links[0].Network {
		return fault.New(fault.Conflict, fmt.Sprintf("network %s: has the default route of pod %s, which is in others, too", network, l.Pod))
	}
	return book{b}.leave(&rest, left, network != "")
}

// leave takes back what is left of a lease, in the order that makes nothing point to
// what somebody else may have next, and that can be repeated.
func (b book) leave(rest, left *lease, links bool) error {
	b.mu.Lock()
	rest.leaving = len(rest.Links) == 0
	if rest.leaving {
		rest.Links, rest.Ports = left.Links, left.Ports // to be found again
	}
	b.leases[rest.PodID] = rest
	b.mu.Unlock()
	var errs []error
	if b.host.Up && b.table != nil { // else the table is yet to be written
		err := b.table.Remove(left.elements())
		if fault.Is(err, fault.NotFound) {
			err = b.table.Replace(ground(b).content())
		}
		errs = append(errs, err)
	}
	var ips []netip.Addr
	for _, k := range left.Links {
		ips = append(ips, k.Addresses...)
		errs = append(errs, link.Unroute(k.Host, k.Addresses))
		if links {
			errs = append(errs, link.Delete(k.Host))
		}
	}
	errs = append(errs, forgetPod(ips))
	if rest.leaving {
		errs = append(errs, b.c.Leases.Delete(leaseKind, rest.PodID))
	} else {
		errs = append(errs, b.c.Leases.Put(leaseKind, rest.PodID, rest))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.releaseLocked(left)
	if rest.leaving {
		delete(b.leases, rest.PodID)
	}
	b.restLocked()
	return nil
}

// withdraw undoes an Attach that failed.
func (b book) withdraw(l, added *lease) error {
	rest := *l
	rest.Links = l.Links[:len(l.Links)-len(added.Links)]
	return b.leave(&rest, added, true)
}

// restLocked sees to it that the host is as it was, some time after the last pod.
func (b book) restLocked() {
	if len(b.leases) > 0 || b.closed {
		return
	}
	if b.idle != nil {
		b.idle.Reset(linger)
		return
	}
	b.idle = time.AfterFunc(linger, func() {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return
		}
		b.work.Add(1)
		b.mu.Unlock()
		defer b.work.Done()
		b.turn.Lock()
		defer b.turn.Unlock()
		if err := ground(b).restoreTurn(); err != nil {
			b.c.Log.Error("network: the host is not as it was before the first pod", "cause", err)
		}
	})
}

// Keep releases what belongs to pods that did not outlive the daemon; see pod.Network.
func (b *Builtin) Keep(_ context.Context, live []pod.Attachment) error {
	b.turn.Lock()
	defer b.turn.Unlock()
	alive := map[string]bool{}
	for _, a := range live {
		alive[a.PodID] = true
	}
	var ended []*lease
	b.mu.Lock()
	for id, l := range b.leases {
		if !alive[id] {
			ended = append(ended, l)
			delete(b.leases, id)
			book{b}.releaseLocked(l)
		}
		delete(alive, id)
	}
	some := len(b.leases) > 0
	b.mu.Unlock()
	var errs []error
	var ips []netip.Addr
	for _, l := range ended {
		for _, k := range l.Links {
			ips = append(ips, k.Addresses...)
		}
		errs = append(errs, b.c.Leases.Delete(leaseKind, l.PodID))
	}
	for id := range alive {
		b.c.Log.Warn("network: connected pod without a lease", "pod", id)
	}
	errs = append(errs, ground{b}.sweepLinks())
	if len(ips) > 0 {
		errs = append(errs, forgetPod(ips))
	}
	if !some {
		return errors.Join(append(errs, ground{b}.restoreTurn())...)
	}
	if err := (ground{b}).openTable(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	b.host.Up = true
	return errors.Join(append(errs, b.table.Replace(ground{b}.content()))...)
}
