package network

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/address"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/link"
)

// record is what is stored of a network.
type record struct {
	Name      string            `json:"name"`
	Subnets   []netip.Prefix    `json:"subnets"`
	Labels    map[string]string `json:"labels,omitempty"`
	CreatedAt time.Time         `json:"createdAt"`
}

// network is a network with its addresses, guarded by Builtin.mu.
type network struct {
	record
	ranges []*address.Range
}

func newNetwork(r record) *network {
	n := &network{record: r}
	for _, s := range r.Subnets {
		n.ranges = append(n.ranges, address.NewRange(s))
	}
	return n
}

// offered are the ranges of the families that the host has.
func (n *network) offered() []*address.Range {
	if hasIPv6() {
		return n.ranges
	}
	return slices.DeleteFunc(slices.Clone(n.ranges), func(r *address.Range) bool { return r.Subnet().Addr().Is6() })
}

// rangeOf returns the range of an address's family, an empty one without.
func (n *network) rangeOf(ip netip.Addr) *address.Range {
	for _, r := range n.ranges {
		if r.Subnet().Addr().Is4() == ip.Is4() {
			return r
		}
	}
	return address.NewRange(netip.PrefixFrom(ip, ip.BitLen()))
}

// Create makes a network: Exists when there is one with the name, Conflict when its
// subnets overlap another's or a route of the host.
func (b *Builtin) Create(_ context.Context, w spec.Network) (status.Network, error) {
	if err := checkName(w.Name); err != nil {
		return status.Network{}, err
	}
	subnets, err := ground{b}.choose(w)
	if err != nil {
		return status.Network{}, fmt.Errorf("network %s: %w", w.Name, err)
	}
	r := record{Name: w.Name, Subnets: subnets, Labels: w.Labels, CreatedAt: time.Now()}
	if err := (ground{b}).enter(r); err != nil {
		return status.Network{}, err
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	if b.host.Up { // its rules
		if err := b.table.Replace(ground{b}.content()); err != nil {
			return status.Network{}, fmt.Errorf("network %s: %w", w.Name, err)
		}
	}
	return b.Network(w.Name)
}

// enter writes a network's record and takes it into the map.
func (b ground) enter(r record) error {
	b.mu.Lock()
	if b.networks[r.Name] != nil {
		b.mu.Unlock()
		return fault.New(fault.Exists, "network "+r.Name+": is there already")
	}
	for _, n := range b.networks { // again: another may have come in between
		for _, s := range r.Subnets {
			if o := address.Overlap(s, n.Subnets); o.IsValid() {
				b.mu.Unlock()
				return fault.New(fault.Conflict, fmt.Sprintf("network %s: subnet %s overlaps %s of network %s", r.Name, s, o, n.Name))
			}
		}
	}
	b.networks[r.Name] = newNetwork(r)
	b.mu.Unlock()
	home := b.c.Networks
	if r.Name == Default { // it is made again when it is needed
		home = b.c.Leases
	}
	if err := home.Put(networkKind, r.Name, r); err != nil {
		b.mu.Lock()
		delete(b.networks, r.Name)
		b.mu.Unlock()
		return fmt.Errorf("network %s: record: %w", r.Name, err)
	}
	return nil
}

func checkName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	switch {
	case name == "" || len(name) > 63 || strings.Trim(name, letters) != "" || strings.Trim(name[:1], "_-") == "":
		return fault.New(fault.Invalid, fmt.Sprintf("network %.80q: want 1 to 63 letters, digits, '_' or '-', beginning with a letter or digit", name))
	case slices.Contains([]string{"none", "host", "own", "private", "pod", "container"}, name):
		return fault.New(fault.Invalid, "network "+name+": the name has a meaning of its own after --network")
	}
	return nil
}

// choose finds the subnets of a new network.
func (b ground) choose(w spec.Network) ([]netip.Prefix, error) {
	if len(w.Subnets) == 0 {
		return b.subnetsOf(usable(b.c.Pools))
	}
	var subnets []netip.Prefix
	for _, s := range w.Subnets {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("subnet %.60q: not an address with a prefix length", s))
		}
		subnets = append(subnets, p)
	}
	if err := address.CheckSubnets(subnets); err != nil {
		return nil, err
	}
	taken, err := link.Destinations(b.names.prefix)
	if err != nil {
		return nil, err
	}
	for _, s := range subnets {
		if o := address.Overlap(s, taken); o.IsValid() {
			return nil, fault.New(fault.Conflict, fmt.Sprintf("subnet %s: overlaps the host's route to %s", s, o))
		}
		if s.Addr().Is6() && !hasIPv6() {
			return nil, fault.New(fault.Unsupported, fmt.Sprintf("subnet %s: this host has no IPv6", s))
		}
	}
	return subnets, nil
}

// usable are the pools of families that the host has.
func usable(pools []netip.Prefix) []netip.Prefix {
	if hasIPv6() {
		return pools
	}
	return slices.DeleteFunc(slices.Clone(pools), func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// Remove removes a network without members.
func (b *Builtin) Remove(_ context.Context, name string) error {
	if name == Default {
		return fault.New(fault.Invalid, "network "+name+": stays, pods that name none use it")
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	n, err := b.Network(name)
	if err != nil {
		return err
	}
	if len(n.Members) > 0 {
		return fault.New(fault.Conflict, fmt.Sprintf("network %s: pod %s is connected (and %d more)", name, n.Members[0].Pod, len(n.Members)-1))
	}
	b.mu.Lock()
	old := b.networks[name]
	delete(b.networks, name)
	b.mu.Unlock()
	if err := b.c.Networks.Delete(networkKind, name); err != nil {
		b.mu.Lock()
		b.networks[name] = old
		b.mu.Unlock()
		return fmt.Errorf("network %s: record: %w", name, err)
	}
	if !b.host.Up {
		return nil
	}
	if err := b.table.Replace(ground{b}.content()); err != nil {
		return fmt.Errorf("network %s: %w", name, err)
	}
	return ground{b}.unclaimTurn(old.Subnets)
}

// Network returns one network with its members.
func (b *Builtin) Network(name string) (status.Network, error) {
	for _, n := range b.Networks() {
		if n.Name == name {
			return n, nil
		}
	}
	return status.Network{}, fault.New(fault.NotFound, fmt.Sprintf("network %.80s: no such network", name))
}

// Networks returns all networks with their members, by name.
func (b *Builtin) Networks() []status.Network {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]status.Network, 0, len(b.networks))
	for _, n := range b.networks {
		all = append(all, n.shown())
	}
	slices.SortFunc(all, func(a, b status.Network) int { return cmp.Compare(a.Name, b.Name) })
	for _, id := range slices.Sorted(maps.Keys(b.leases)) {
		l := b.leases[id]
		for _, k := range l.Links {
			i, found := slices.BinarySearchFunc(all, k.Network, func(n status.Network, name string) int { return cmp.Compare(n.Name, name) })
			if found {
				all[i].Members = append(all[i].Members, status.Member{
					PodID: id, Pod: l.Pod, Aliases: k.Aliases, IPs: texts(k.Addresses), Interface: k.Interface, Link: k.Host,
				})
			}
		}
	}
	return all
}

func (n *network) shown() status.Network {
	out := status.Network{Name: n.Name, Labels: n.Labels, CreatedAt: n.CreatedAt}
	for _, s := range n.Subnets {
		out.Subnets = append(out.Subnets, s.String())
		out.Gateways = append(out.Gateways, address.Gateway(s).String())
	}
	return out
}
