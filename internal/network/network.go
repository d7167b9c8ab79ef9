// Package network is the built-in network: what connects pods where no CNI
// configuration says otherwise.
//
// Every connection is a veth pair whose host end is a route of its own: no bridge, so
// neither its limit of ports nor its flooding. A pod has single addresses (/32, /128)
// and its default route over the link; the host's end carries the gateway's
// address, the same on all of them. Who may reach whom is decided in one nftables
// table of carob's own, see package nft.
//
// # State
//
// Leases say which addresses, links and ports of the host a pod has; they are written
// while the rest is made, before Attach returns, and removed after everything is gone: whatever
// a crash leaves is named by a lease, or begins with the links' prefix, or is in the
// table, which the next daemon writes anew or drops. They live in
// Config.Leases, on tmpfs, as pods do; so does the default network. Networks that
// somebody has made live in Config.Networks, on disk.
// What is prepared for a pod that nobody has asked for has no lease: its pair begins with
// the prefix, and nobody has used its addresses.
// What was changed of the host as a whole (settings, claimed subnets) is in
// one record beside the leases, also written first; it is undone when the
// last pod has gone, after a while, since the next one often comes at once.
//
// # Instances
//
// Several daemons can live in one network namespace of the host. The run directory
// tells them apart: table and links of one never have the names of another's.
//
// # Locks
//
// turn, then mu. turn orders what is written to the table: shared for one pod's
// elements, exclusive for the whole of it; it is held across netlink. mu guards the
// maps and is held for map access only.
package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/address"
	"carob/internal/plan/port"
	"carob/internal/pod"
	"carob/internal/sys/link"
	"carob/internal/sys/nft"
)

// Default is the name of the network of pods that name none.
const Default = pod.DefaultNetwork

// linger is how long the host stays prepared after the last pod has gone.
const linger = 10 * time.Second

// Store keeps records: see package store.
type Store interface {
	Put(kind, id string, value any) error
	Load(kind string, each func(id string, raw []byte) error) error
	Delete(kind, id string) error
}

// gather is how long pods that have gone are gathered before their connections are
// forgotten.
const gather = time.Second

// The kinds of records.
const (
	leaseKind   = "lease"
	hostKind    = "network-host"
	networkKind = "networks"
)

// Config is what a Builtin works with.
type Config struct {
	// Instance is "" for the daemon with the usual run directory, else it tells this one
	// from all others on the host.
	Instance string
	// Pools are what subnets are taken from, one per family at most.
	Pools []netip.Prefix
	// Leases is on tmpfs, Networks on disk.
	Leases, Networks Store
	Log              *slog.Logger
}

// Builtin is the built-in network. It implements pod.Network. The caller closes it.
type Builtin struct {
	c      Config
	names  names
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	// turn guards host and table, and the order of what is written to the table.
	turn  sync.RWMutex
	host  host
	table *nft.Table // nil until the first pod

	mu       sync.Mutex
	closed   bool
	networks map[string]*network
	leases   map[string]*lease
	ahead    map[string]leasedLink // what was prepared, by the pod's ID
	ports    port.Table
	idle     *time.Timer
	// ending are leases whose tracked connections are to be forgotten; cleaned is closed
	// when the present pass is over, nil without one.
	ending  []*lease
	cleaned chan struct{}
	hurry   chan struct{} // has room for one; somebody waits
}

// The work is divided among these parts. Each is the Builtin itself, seen by those who
// need only that part.
type (
	// ground is the host under the networks: settings, routes, the table.
	ground struct{ *Builtin }
	// book is who has what: leases, from their grant to their end.
	book struct{ *Builtin }
	// heir gives pods that outlive a daemon what they had.
	heir struct{ *Builtin }
)

// Open reads the records of earlier daemons: networks first, then leases in them. What
// cannot be read is logged; a pod that goes on gets its lease again in Keep. It changes
// nothing, and where nothing could be connected Attach says what is missing.
func Open(c Config) *Builtin {
	b := &Builtin{c: c, names: namesOf(c.Instance), networks: map[string]*network{}, leases: map[string]*lease{}, ahead: map[string]leasedLink{}, hurry: make(chan struct{}, 1)}
	known := func(name string, raw []byte) error {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil || r.Name != name {
			return fault.New(fault.Invalid, fmt.Sprintf("network %s: record: not its own", name))
		}
		b.networks[name] = newNetwork(r)
		return nil
	}
	err := errors.Join(
		c.Networks.Load(networkKind, known), c.Leases.Load(networkKind, known),
		c.Leases.Load(leaseKind, func(id string, raw []byte) error {
			l := &lease{}
			if err := json.Unmarshal(raw, l); err != nil || l.ID != id {
				return fault.New(fault.Invalid, fmt.Sprintf("lease %s: not its own", id))
			}
			book{b}.reclaim(l)
			return nil
		}),
		c.Leases.Load(hostKind, func(_ string, raw []byte) error { return json.Unmarshal(raw, &b.host) }),
	)
	if err != nil {
		c.Log.Error("network: records", "cause", err)
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// reclaim notes what a lease of an earlier daemon has.
func (b book) reclaim(l *lease) {
	for _, k := range l.Links {
		n := b.networks[k.Network]
		if n == nil {
			continue // its record is lost; the pod goes on
		}
		for _, ip := range k.Addresses {
			_ = n.rangeOf(ip).Claim(ip) // the one it had
		}
	}
	if l.Leaving {
		b.ending = append(b.ending, l)
		return
	}
	b.leases[l.PodID] = l
	for _, p := range l.Ports {
		_ = b.ports.Claim(l.title(), p)
	}
}

// Close ends what the network does on its own account. Connections go on; with no pod
// left, what was changed of the host is undone.
func (b *Builtin) Close() error {
	b.mu.Lock()
	b.closed = true
	if b.idle != nil {
		b.idle.Stop()
	}
	b.mu.Unlock()
	b.cancel()
	b.work.Wait()
	book{b}.clean() // what came while the last pass went on
	b.turn.Lock()
	defer b.turn.Unlock()
	err := ground{b}.restoreTurn()
	if b.table != nil {
		err = errors.Join(err, b.table.Close())
	}
	return err
}

// content is the whole table as the leases want it.
func (b ground) content() nft.Content {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := nft.Content{Uplinks: b.host.Uplinks}
	for _, n := range b.networks {
		c.Networks = append(c.Networks, n.Subnets)
	}
	for _, l := range b.leases {
		if l.Leaving {
			continue
		}
		e := l.elements()
		c.Sources = append(c.Sources, e.Sources...)
		c.Ports = append(c.Ports, e.Ports...)
	}
	return c
}

// watch repairs the table when others have changed it.
func (b ground) watch(t *nft.Table) {
	err := t.Watch(b.ctx, func() {
		b.turn.Lock()
		defer b.turn.Unlock()
		if !b.host.Up {
			return
		}
		if err := t.Replace(b.content()); err != nil {
			b.c.Log.Error("network: somebody changed the table, which could not be put right", "table", b.names.table, "cause", err)
			return
		}
		b.c.Log.Info("network: somebody changed the table, it is as it was", "table", b.names.table)
	})
	if err != nil {
		b.c.Log.Error("network: the table is not watched", "cause", err)
	}
}

// sweepLinks removes pairs that no lease names, and returns the names of the others.
func (b ground) sweepLinks() (rest []string, err error) {
	there, err := link.Names(b.names.prefix)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	b.mu.Lock()
	for _, l := range b.leases {
		for _, k := range l.Links {
			named[k.Host], named[k.Shaper] = true, true
		}
	}
	b.mu.Unlock()
	var litter []string
	for _, name := range there {
		if named[name] {
			rest = append(rest, name)
		} else {
			litter = append(litter, name)
		}
	}
	return rest, link.Delete(litter...)
}

// subnetsOf are the pools' next free subnets.
func (b ground) subnetsOf(pools []netip.Prefix) ([]netip.Prefix, error) {
	taken, err := link.Destinations(b.names.prefix)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	for _, n := range b.networks {
		taken = append(taken, n.Subnets...)
	}
	b.mu.Unlock()
	var subnets []netip.Prefix
	for _, pool := range pools {
		s, err := address.Subnet(pool, b.names.first, taken)
		if err != nil {
			return nil, err
		}
		subnets = append(subnets, s)
	}
	return subnets, nil
}
