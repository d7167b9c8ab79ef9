package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/bandwidth"
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
	if err := (book{b}).await(ctx, joins); err != nil {
		return nil, err
	}
	b.turn.RLock()
	defer b.turn.RUnlock()
	defer func() {
		if err != nil { // the host may have been prepared for nobody
			b.mu.Lock()
			defer b.mu.Unlock()
			book{b}.restLocked()
		}
	}()
	var networks []string
	for _, j := range joins {
		networks = append(networks, j.Network)
	}
	if err := (ground{b}).prepare(networks); err != nil {
		return nil, err
	}
	if err := (book{b}).suit(a, joins); err != nil {
		return nil, err
	}
	var u undo.Stack
	defer u.OnError(ctx, &err)
	l, from, err := book{b}.grant(a, joins)
	if err != nil {
		return nil, err
	}
	added := &lease{ID: l.ID, PodID: l.PodID, Pod: l.Pod, Links: l.Links[from:]}
	if from == 0 {
		added.Ports = l.Ports
	}
	u.Push("lease", func(context.Context) error { return book{b}.withdraw(l, added) })
	beside := make(chan error, 2)
	go func() { beside <- b.c.Leases.Put(leaseKind, l.ID, l) }()
	go func() { beside <- book{b}.admit(added) }()
	err = book{b}.join(netns, l, from)
	if err := errors.Join(err, <-beside, <-beside); err != nil {
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
		if err := b.joinOne(netns, l, i, mtu); err != nil {
			return fmt.Errorf("network %s: %w", k.Network, err)
		}
	}
	return nil
}

func (b book) joinOne(netns *os.File, l *lease, n, mtu int) error {
	k := l.Links[n]
	err := plug(netns, l.pair(n, mtu), k.madeMTU)
	if err == nil && l.Limits != (bandwidth.Limits{}) {
		err = link.Limit(k.Host, k.Shaper, l.Limits.Ingress, l.Limits.Egress)
	}
	return err
}

// plug makes a pair, or completes the one that was prepared; not one that the uplink has
// another MTU than since, nor one that somebody has removed.
func plug(netns *os.File, p link.Pair, madeMTU int) error {
	if madeMTU == p.MTU {
		if err := link.Complete(p); !fault.Is(err, fault.NotFound) {
			return err
		}
	} else if madeMTU != 0 {
		if err := link.Delete(p.Host); err != nil {
			return err
		}
	}
	return link.Connect(netns, p)
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
		return book{b}.forsake(podID)
	}
	rest, gone := l.without(network)
	if len(gone) == 0 {
		return nil
	}
	left := &lease{ID: l.ID, PodID: l.PodID, Pod: l.Pod, Links: gone}
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
	whole := len(rest.Links) == 0
	kept := rest
	if whole {
		left.Leaving, kept = true, left // to be found again
	}
	b.mu.Lock()
	b.leases[rest.PodID] = kept
	b.mu.Unlock()
	var errs []error
	if b.host.Up && b.table != nil { // else the table is yet to be written
		err := b.table.Remove(left.elements())
		if fault.Is(err, fault.NotFound) {
			err = b.table.Replace(ground(b).content())
		}
		errs = append(errs, err)
	}
	for _, k := range left.Links {
		errs = append(errs, link.Unroute(k.Host, k.Addresses))
		if links {
			errs = append(errs, link.Delete(k.names()...))
		} else if k.Shaper != "" {
			errs = append(errs, link.Delete(k.Shaper))
		}
	}
	errs = append(errs, b.c.Leases.Put(leaseKind, kept.ID, kept))
	if !whole {
		errs = append(errs, forgetPods(left))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !whole {
		b.releaseLocked(left)
		return nil
	}
	b.releaseLocked(&lease{Pod: left.Pod, Ports: left.Ports})
	delete(b.leases, rest.PodID)
	b.ending = append(b.ending, left)
	b.cleanLocked()
	return nil
}

// cleanLocked has the leases that end cleaned, all that there are at once: what the
// kernel tracks is one large table, and reading it takes tens of milliseconds. Until
// then nobody gets their addresses.
func (b book) cleanLocked() {
	if b.closed || b.cleaned != nil || len(b.ending) == 0 {
		return
	}
	done := make(chan struct{})
	b.cleaned = done
	b.work.Go(func() {
		select { // others may come
		case <-time.After(gather):
		case <-b.hurry:
		case <-b.ctx.Done():
		}
		b.clean()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.cleaned = nil
		close(done)
		b.cleanLocked()
		b.restLocked()
	})
}

// settle waits until nothing is being cleaned.
func (b book) settle() {
	for {
		b.mu.Lock()
		done := b.cleaned
		b.mu.Unlock()
		if done == nil {
			return
		}
		select {
		case b.hurry <- struct{}{}:
		default:
		}
		<-done
	}
}

// clean is one pass.
func (b book) clean() {
	b.mu.Lock()
	all := b.ending
	b.mu.Unlock()
	if len(all) == 0 {
		return
	}
	err := forgetPods(all...)
	for _, l := range all {
		for _, k := range l.Links { // whose namespace somebody else holds
			err = errors.Join(err, link.Delete(k.Host))
		}
		err = errors.Join(err, b.c.Leases.Delete(leaseKind, l.ID))
	}
	if err != nil { // their addresses are given to others all the same: a host must not run out
		b.c.Log.Error("network: something of pods that have gone stays", "cause", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range all {
		b.releaseLocked(&lease{Links: l.Links})
	}
	b.ending = slices.Clip(b.ending[len(all):])
}

// await waits while an address that is asked for by its number is being cleaned.
func (b book) await(ctx context.Context, joins []spec.Join) error {
	wanted := map[string]bool{}
	for _, j := range joins {
		for _, ip := range j.IPs {
			wanted[ip] = true
		}
	}
	if err := b.surrender(wanted); err != nil {
		return err
	}
	for {
		b.mu.Lock()
		busy := slices.ContainsFunc(b.ending, func(l *lease) bool {
			return slices.ContainsFunc(l.Links, func(k leasedLink) bool {
				return slices.ContainsFunc(k.Addresses, func(ip netip.Addr) bool { return wanted[ip.String()] })
			})
		})
		done := b.cleaned
		b.mu.Unlock()
		if !busy || done == nil {
			return nil
		}
		select {
		case b.hurry <- struct{}{}:
		default:
		}
		select {
		case <-done:
		case <-ctx.Done():
			return fault.Wrap(fault.Unavailable, "address: the pod that had it is being cleaned up", context.Cause(ctx))
		}
	}
}

// withdraw undoes an Attach that failed.
func (b book) withdraw(l, added *lease) error {
	rest := *l
	rest.Links = l.Links[:len(l.Links)-len(added.Links)]
	return b.leave(&rest, added, true)
}

// restLocked sees to it that the host is as it was, some time after the last pod.
func (b book) restLocked() {
	if len(b.leases)+len(b.ending) > 0 || b.closed {
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

// Keep releases what belongs to pods that did not outlive the daemon, and restores what
// belongs to the others; see pod.Network.
func (b *Builtin) Keep(_ context.Context, live []pod.Attachment) error {
	b.turn.Lock()
	defer b.turn.Unlock()
	book{b}.settle()
	alive := map[string]bool{}
	for _, a := range live {
		alive[a.PodID] = true
		if err := (heir{b}).regain(a); err != nil {
			b.c.Log.Error("network: a connected pod without a lease", "pod", a.PodID, "cause", err)
		}
	}
	b.mu.Lock()
	for id, l := range b.leases {
		if !alive[id] {
			b.ending = append(b.ending, l)
			delete(b.leases, id)
			book{b}.releaseLocked(&lease{Pod: l.Pod, Ports: l.Ports})
		}
	}
	book{b}.cleanLocked()
	some := len(b.leases) > 0
	b.mu.Unlock()
	there, err := ground{b}.sweepLinks()
	errs := []error{err}
	if !some {
		return errors.Join(append(errs, ground{b}.restoreTurn())...)
	}
	for _, a := range live {
		if err := (heir{b}).restore(a, there); err != nil {
			b.c.Log.Error("network: a pod that goes on is not connected as it was", "pod", a.PodID, "cause", err)
		}
	}
	if err := (ground{b}).openTable(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	b.host.Up = true
	errs = append(errs, ground{b}.reclaimTurn(), b.table.Replace(ground{b}.content()))
	return errors.Join(errs...)
}
