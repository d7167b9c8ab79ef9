// Package address decides who gets which addresses: networks their subnets, so that none
// overlaps what the host has routes for, and pods the addresses in them.
package address

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carob/internal/fault"
)

// The prefix lengths of a network's subnet, unless the pool is smaller than that: 4093
// pods in IPv4.
const (
	bits4 = 20
	bits6 = 64
)

// DefaultPool4 is where IPv4 subnets come from: a part of 10.0.0.0/8 that neither Docker,
// podman, libvirt nor the usual networks of Kubernetes begin with.
func DefaultPool4() netip.Prefix { return netip.MustParsePrefix("10.176.0.0/12") }

// DefaultPool6 is a unique local prefix (RFC 4193) that is always the same for one
// machine.
func DefaultPool6(machineID string) netip.Prefix {
	sum := sha256.Sum256([]byte("carob network " + machineID))
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 48)
}

// Pools checks what was given as pools: one per family at most, private use is not
// demanded.
func Pools(given []string) ([]netip.Prefix, error) {
	var pools []netip.Prefix
	for _, s := range given {
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return nil, fault.New(fault.Invalid, fmt.Sprintf("address pool %.60q: not an address with a prefix length, as 10.176.0.0/12", s))
		case p.Masked() != p:
			return nil, fault.New(fault.Invalid, fmt.Sprintf("address pool %s: has bits behind the prefix; %s?", s, p.Masked()))
		case p.Addr().Is4() && p.Bits() > 29 || p.Addr().Is6() && p.Bits() > 120:
			return nil, fault.New(fault.Invalid, fmt.Sprintf("address pool %s: too small", s))
		}
		for _, o := range pools {
			if o.Addr().Is4() == p.Addr().Is4() {
				return nil, fault.New(fault.Invalid, fmt.Sprintf("address pools %s and %s: one per family", o, p))
			}
		}
		pools = append(pools, p)
	}
	return pools, nil
}

// Subnet returns the first subnet of the pool, from the nth on and round, that overlaps
// nothing that is taken.
func Subnet(pool netip.Prefix, n uint32, taken []netip.Prefix) (netip.Prefix, error) {
	bits := bits6
	if pool.Addr().Is4() {
		bits = bits4
	}
	bits = max(bits, pool.Bits())
	const most = 1 << 12 // tries: nobody has that many networks
	count := uint32(1) << min(bits-pool.Bits(), 12)
	for i := range min(count, most) {
		p := nth(pool, bits, (n+i)%count)
		if Overlap(p, taken) == (netip.Prefix{}) {
			return p, nil
		}
	}
	return netip.Prefix{}, fault.New(fault.Conflict, fmt.Sprintf("address pool %s: every subnet of /%d overlaps another network or a route of the host; give another with carob serve --address-pool", pool, bits))
}

// nth is the nth subnet of this length.
func nth(pool netip.Prefix, bits int, n uint32) netip.Prefix {
	a := pool.Addr().AsSlice()
	for i := range 32 { // bit i of n stands at bits-1-i of the address
		if n>>i&1 == 1 {
			at := bits - 1 - i
			a[at/8] |= 0x80 >> (at % 8)
		}
	}
	ip, _ := netip.AddrFromSlice(a)
	return netip.PrefixFrom(ip, bits)
}

// Overlap returns the first of others that shares an address with p, the zero Prefix
// when none does.
func Overlap(p netip.Prefix, others []netip.Prefix) netip.Prefix {
	for _, o := range others {
		if p.Overlaps(o) {
			return o
		}
	}
	return netip.Prefix{}
}

// CheckSubnets refuses subnets that a network cannot have.
func CheckSubnets(subnets []netip.Prefix) error {
	seen := map[bool]bool{}
	for _, p := range subnets {
		least, most := 16, 120
		if p.Addr().Is4() {
			least, most = 8, 29
		}
		a := p.Addr()
		switch {
		case p.Masked() != p:
			return fault.New(fault.Invalid, fmt.Sprintf("subnet %s: has bits behind the prefix; %s?", p, p.Masked()))
		case p.Bits() > most || p.Bits() < least:
			return fault.New(fault.Invalid, fmt.Sprintf("subnet %s: the prefix length must be %d to %d", p, least, most))
		case a.IsLoopback(), a.IsMulticast(), a.IsLinkLocalUnicast():
			return fault.New(fault.Invalid, fmt.Sprintf("subnet %s: not for pods", p))
		case seen[a.Is4()]:
			return fault.New(fault.Invalid, "subnets: one per family")
		}
		seen[a.Is4()] = true
	}
	return nil
}

// MAC reports whether s is the hardware address of one interface: six bytes, and no group's.
func MAC(s string) bool {
	parts := strings.Split(s, ":")
	b, err := hex.DecodeString(strings.Join(parts, ""))
	return err == nil && len(parts) == 6 && !slices.ContainsFunc(parts, func(p string) bool { return len(p) != 2 }) && b[0]&1 == 0
}

// Range is the addresses of one subnet. The first is the gateway; of IPv4 the last is
// broadcast. A released address is given out again as late as possible.
type Range struct {
	subnet netip.Prefix
	used   map[netip.Addr]bool
	last   netip.Addr // given out most recently
}

// NewRange returns a range with all addresses free.
func NewRange(subnet netip.Prefix) *Range {
	return &Range{subnet: subnet, used: map[netip.Addr]bool{}, last: Gateway(subnet)}
}

// Gateway is a subnet's first address.
func Gateway(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// Subnet is what the range was made of.
func (r *Range) Subnet() netip.Prefix { return r.subnet }

// Take gives out the next free address, Conflict when there is none.
func (r *Range) Take() (netip.Addr, error) {
	ip := r.last
	for range len(r.used) + 4 { // so many are taken or not for pods at most
		ip = ip.Next()
		if !r.subnet.Contains(ip) {
			ip = Gateway(r.subnet).Next()
		}
		if r.forPods(ip) && !r.used[ip] {
			r.used[ip], r.last = true, ip
			return ip, nil
		}
	}
	return netip.Addr{}, fault.New(fault.Conflict, fmt.Sprintf("subnet %s: all addresses are in use", r.subnet))
}

// Claim gives out this address: Invalid when it is not for pods, Exists when it is in
// use.
func (r *Range) Claim(ip netip.Addr) error {
	switch {
	case !r.forPods(ip):
		return fault.New(fault.Invalid, fmt.Sprintf("address %s: not one for pods in subnet %s", ip, r.subnet))
	case r.used[ip]:
		return fault.New(fault.Exists, fmt.Sprintf("address %s: in use", ip))
	}
	r.used[ip] = true
	return nil
}

// Release takes an address back.
func (r *Range) Release(ip netip.Addr) { delete(r.used, ip) }

// Used counts the addresses that are given out.
func (r *Range) Used() int { return len(r.used) }

func (r *Range) forPods(ip netip.Addr) bool {
	return r.subnet.Contains(ip) && ip != r.subnet.Addr() && ip != Gateway(r.subnet) && (ip.Is6() || r.subnet.Contains(ip.Next()))
}
