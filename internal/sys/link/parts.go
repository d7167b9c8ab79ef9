package link

import (
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// list is a run of attributes on one level.
type list struct{ attrs []*nl.RtAttr }

func attributes(fill func(*list)) *list {
	l := &list{}
	fill(l)
	return l
}

// AddRtAttr appends an attribute, as nl.RtAttr does for its children.
func (l *list) AddRtAttr(kind int, data []byte) *nl.RtAttr {
	a := nl.NewRtAttr(kind, data)
	l.attrs = append(l.attrs, a)
	return a
}

// Len is the encoded length.
func (l *list) Len() (n int) {
	for _, a := range l.attrs {
		n += (a.Len() + 3) &^ 3
	}
	return n
}

// Serialize encodes the attributes.
func (l *list) Serialize() (out []byte) {
	for _, a := range l.attrs {
		out = append(out, a.Serialize()...)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
	}
	return out
}

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// address adds an address to a link. In IPv6 nobody asks first whether somebody else
// has it (IFA_F_NODAD): a link between two ends leaves no doubt, and waiting takes
// seconds.
func (b *batch) address(index int, p netip.Prefix) {
	a := p.Addr()
	m := nl.NewIfAddrmsg(int(family(a)))
	m.Prefixlen, m.Index = uint8(p.Bits()), uint32(index)
	parts := &list{}
	parts.AddRtAttr(unix.IFA_LOCAL, a.AsSlice())
	parts.AddRtAttr(unix.IFA_ADDRESS, a.AsSlice())
	if a.Is6() {
		flags := uint32(unix.IFA_F_NODAD | unix.IFA_F_PERMANENT)
		if p.IsSingleIP() { // its route is another one's business
			flags |= unix.IFA_F_NOPREFIXROUTE
		}
		parts.AddRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags))
	}
	if a.IsLinkLocalUnicast() {
		m.Scope = unix.RT_SCOPE_LINK
	}
	b.add("address "+p.String(), unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, m, parts)
}

// route is one route of the main table. Without index it is unreachable.
type route struct {
	to    netip.Prefix
	via   netip.Addr // the next hop, on the link whatever its address
	index int
	from  netip.Addr // preferred source
}

func (r route) message() (*nl.RtMsg, *list) {
	m := nl.NewRtMsg()
	m.Family, m.Dst_len = family(r.to.Addr()), uint8(r.to.Bits())
	m.Table, m.Protocol = unix.RT_TABLE_MAIN, unix.RTPROT_STATIC
	parts := &list{}
	if r.to.Bits() > 0 {
		parts.AddRtAttr(unix.RTA_DST, r.to.Addr().AsSlice())
	}
	if r.index == 0 {
		m.Type, m.Scope = unix.RTN_UNREACHABLE, unix.RT_SCOPE_UNIVERSE
		return m, parts
	}
	m.Type, m.Scope = unix.RTN_UNICAST, unix.RT_SCOPE_LINK
	parts.AddRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(r.index)))
	if r.via.IsValid() {
		m.Scope, m.Flags = unix.RT_SCOPE_UNIVERSE, unix.RTNH_F_ONLINK
		parts.AddRtAttr(unix.RTA_GATEWAY, r.via.AsSlice())
	}
	if r.from.IsValid() {
		parts.AddRtAttr(unix.RTA_PREFSRC, r.from.AsSlice())
	}
	return m, parts
}

func (b *batch) route(r route) {
	m, parts := r.message()
	b.add("route "+r.to.String(), unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, m, parts)
}

// localhost6 is for ::1 what route_localnet is for 127.0.0.0/8. The kernel sends from ::1
// through any link, but takes an answer, translated back, only where a route says that ::1
// is local to that very link (rt6_need_strict). A packet that arrives with ::1 in it as it
// is, is dropped before (ip6_rcv_core): nobody reaches the host's loopback by it. The host
// itself goes on using lo, whose route has metric 0.
func (b *batch) localhost6(index int) {
	m, parts := route{to: netip.PrefixFrom(netip.IPv6Loopback(), 128), index: index}.message()
	m.Type, m.Table = unix.RTN_LOCAL, unix.RT_TABLE_LOCAL
	parts.AddRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(localhostMetric))
	b.add("route ::1", unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, m, parts) // beside those of other links
}

const localhostMetric = 4096

func (b *batch) dropRoute(r route) {
	m, parts := r.message()
	m.Protocol = unix.RTPROT_UNSPEC // any, as the scope
	m.Scope = unix.RT_SCOPE_NOWHERE
	b.add("route "+r.to.String()+": remove", unix.RTM_DELROUTE, 0, m, parts)
}

// settings are a link's, by family: what /proc/sys/net has, without the files.
type settings struct {
	localhost bool // IPv4: route_localnet
	// addresses, in IPv6: the kernel makes no link-local one of its own and looks for no
	// other who has it, which goes on in the background for two seconds
	addresses bool
}

// set changes a link's settings, those that are true.
func (b *batch) set(index int, c settings) {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC|unix.NLA_F_NESTED, nil)
	if c.localhost {
		conf := spec.AddRtAttr(unix.AF_INET|unix.NLA_F_NESTED, nil).AddRtAttr(iflaInetConf|unix.NLA_F_NESTED, nil)
		conf.AddRtAttr(routeLocalnet, nl.Uint32Attr(1))
	}
	if c.addresses {
		spec.AddRtAttr(unix.AF_INET6|unix.NLA_F_NESTED, nil).AddRtAttr(unix.IFLA_INET6_ADDR_GEN_MODE, []byte{nl.IN6_ADDR_GEN_MODE_NONE})
	}
	if c != (settings{}) {
		b.add("link settings", unix.RTM_SETLINK, 0, m, spec)
	}
}

// iflaInetConf is IFLA_INET_CONF of linux/if_link.h.
const iflaInetConf = 1

// routeLocalnet is IPV4_DEVCONF_ROUTE_LOCALNET of linux/ip.h.
const routeLocalnet = 26
