package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// with runs a batch on a socket of its own in this process's network namespace.
func with(b *batch, tolerate func(string, unix.Errno) bool) error {
	if len(b.requests) == 0 {
		return nil
	}
	s, err := dial()
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(b, nil, tolerate)
}

// Claim makes the host refuse what goes to a subnet and no pod has: an unreachable
// route, which more specific ones precede. Exists when somebody has a route for
// the very same subnet: two who claim at once do not both succeed.
func Claim(subnet netip.Prefix) error {
	var b batch
	b.route(route{to: subnet})
	return with(&b, nil)
}

// Unclaim takes the route of Claim away; without it, it succeeds.
func Unclaim(subnet netip.Prefix) error {
	var b batch
	b.dropRoute(route{to: subnet})
	return with(&b, func(_ string, e unix.Errno) bool { return e == unix.ESRCH })
}

// Unroute takes away the host's routes to addresses of pods through the link with
// this name. Those that are gone, with the link or without, are no error.
func Unroute(name string, addresses []netip.Addr) error {
	s, err := dial()
	if err != nil {
		return err
	}
	defer s.close()
	index, err := s.index(name)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var b batch
	for _, ip := range addresses {
		b.dropRoute(route{to: netip.PrefixFrom(ip, ip.BitLen()), index: index})
	}
	if len(b.requests) == 0 {
		return nil
	}
	return s.run(&b, nil, func(_ string, e unix.Errno) bool { return e == unix.ESRCH || e == unix.ENODEV })
}

// Delete removes links by name, each with its peer; those that are gone are no error.
func Delete(names ...string) error {
	var b batch
	for _, n := range names {
		b.add("link "+n+": remove", unix.RTM_DELLINK, 0, nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(n)))
	}
	return with(&b, func(_ string, e unix.Errno) bool { return e == unix.ENODEV })
}

// Names returns the links whose names begin so.
func Names(prefix string) ([]string, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "links", err)
	}
	var names []string
	for _, l := range all {
		if strings.HasPrefix(l.Attrs().Name, prefix) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names, nil
}

// Destinations returns what the host has routes to, but for the default routes,
// multicast, and what is reached through links whose names begin with except: networks,
// and its own addresses.
func Destinations(except string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fault.Wrap(fault.Internal, "links", err)
	}
	ignored := map[int]bool{}
	for _, l := range links {
		ignored[l.Attrs().Index] = strings.HasPrefix(l.Attrs().Name, except)
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fault.Wrap(fault.Internal, "routes", err)
	}
	for _, r := range routes {
		if r.Dst == nil || ignored[r.LinkIndex] {
			continue
		}
		ip, ok := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		if !ok || bits == 0 || ip.Unmap().IsMulticast() {
			continue
		}
		out = append(out, netip.PrefixFrom(ip.Unmap(), bits))
	}
	return out, nil
}

// Towards returns the name of the link that an address is reached through.
func Towards(ip netip.Addr) (string, error) {
	routes, err := netlink.RouteGet(ip.AsSlice())
	if err != nil || len(routes) == 0 {
		return "", fault.Wrap(fault.NotFound, "route to "+ip.String(), err)
	}
	l, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "route to "+ip.String(), err)
	}
	return l.Attrs().Name, nil
}

// UplinkMTU returns the MTU of the link with the host's default route, 1500 without
// one.
func UplinkMTU() (int, error) {
	const ethernet = 1500
	s, err := dial()
	if err != nil {
		return 0, err
	}
	defer s.close()
	for _, outside := range []string{"192.0.2.1", "2001:db8::1"} { // no packet goes there: RFC 5737, RFC 3849
		index, err := s.towards(netip.MustParseAddr(outside))
		if err != nil {
			continue // no route
		}
		mtu, loopback, err := s.mtu(index)
		if err != nil {
			return 0, fmt.Errorf("uplink: %w", err)
		}
		if !loopback {
			return mtu, nil
		}
	}
	return ethernet, nil
}

// towards asks for the link that an address is reached through.
func (s socket) towards(ip netip.Addr) (index int, err error) {
	m := nl.NewRtMsg()
	*m = nl.RtMsg{RtMsg: unix.RtMsg{Family: family(ip), Dst_len: uint8(ip.BitLen())}}
	var b batch
	b.add("route to "+ip.String(), unix.RTM_GETROUTE, 0, m, nl.NewRtAttr(unix.RTA_DST, ip.AsSlice()))
	err = s.run(&b, func(_ uint16, payload []byte) {
		each(payload[min(len(payload), unix.SizeofRtMsg):], func(kind uint16, value []byte) {
			if kind == unix.RTA_OIF && len(value) == 4 {
				index = int(binary.NativeEndian.Uint32(value))
			}
		})
	}, nil)
	return index, err
}

// mtu asks for a link's MTU.
func (s socket) mtu(index int) (mtu int, loopback bool, err error) {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	var b batch
	b.add(fmt.Sprintf("link %d", index), unix.RTM_GETLINK, 0, m, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
	err = s.run(&b, func(_ uint16, payload []byte) {
		if len(payload) < unix.SizeofIfInfomsg {
			return
		}
		loopback = binary.NativeEndian.Uint32(payload[8:])&unix.IFF_LOOPBACK != 0
		each(payload[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
			if kind == unix.IFLA_MTU && len(value) == 4 {
				mtu = int(binary.NativeEndian.Uint32(value))
			}
		})
	}, nil)
	return mtu, loopback, err
}
