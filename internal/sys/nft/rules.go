package nft

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rule is a list of matches with a verdict at its end.
type rule []expr.Any

// Registers: 1 to 4 have 16 bytes each, 8 to 23 are the same memory by 4.
const (
	reg1  = unix.NFT_REG_1
	reg2  = unix.NFT_REG_2
	reg32 = unix.NFT_REG32_00
)

func (t *Table) addChains(c Content) {
	base := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority) *nftables.Chain {
		return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: &priority})
	}
	filter, nat := nftables.ChainTypeFilter, nftables.ChainTypeNAT
	t.rules(base("sources", filter, nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw), t.sources())
	t.rules(base("arriving", nat, nftables.ChainHookPrerouting, *nftables.ChainPriorityNATDest), t.ports())
	t.rules(base("leaving", nat, nftables.ChainHookOutput, *nftables.ChainPriorityNATDest), t.ports())
	t.rules(base("outside", nat, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource), t.outside(c))
	t.rules(base("waiting", filter, nftables.ChainHookOutput, *nftables.ChainPriorityFilter), t.waiting(c))
	t.rules(base("passing", filter, nftables.ChainHookForward, *nftables.ChainPriorityFilter), t.passing(c))
}

func (t *Table) rules(chain *nftables.Chain, rules []rule) {
	for _, r := range rules {
		t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: r})
	}
}

// sources: a pod sends from its own addresses, and from IPv6 link-local ones for
// neighbour discovery. What it addresses to the host's loopback is nobody's answer
// yet: translation back to 127.0.0.1 happens after this. Every packet passes here, so
// that what is frequent comes first.
func (t *Table) sources() []rule {
	loopback, _ := netip.ParsePrefix("127.0.0.0/8")
	local, _ := netip.ParsePrefix("fe80::/10")
	rules := []rule{
		join(t.link(expr.MetaKeyIIFNAME, expr.CmpOpNeq), accept()), // no pod
		join(to(loopback), drop()),
	}
	for _, f := range t.sets.families() {
		rules = append(rules, join(nfproto(f.v4), rule{
			&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, source(f.v4, reg2),
			&expr.Lookup{SourceRegister: reg1, SetName: f.from.Name, SetID: f.from.ID},
		}, accept()))
	}
	return append(rules,
		join(from(local), accept()),
		join(from(netip.PrefixFrom(netip.IPv6Unspecified(), 128)), accept()),
		drop())
}

// ports: what is for the host and has a pod behind it.
func (t *Table) ports() []rule {
	var rules []rule
	for _, f := range t.sets.families() {
		local := join(nfproto(f.v4), rule{
			&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
			&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: native(unix.RTN_LOCAL)},
		})
		length := uint32(1)
		family := uint32(unix.NFPROTO_IPV4)
		if !f.v4 {
			length, family = 4, unix.NFPROTO_IPV6
		}
		nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: family, RegAddrMin: reg1, RegProtoMin: reg32 + length, Specified: true}
		protocol := &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg32}
		rules = append(rules,
			join(local, rule{
				protocol, destination(f.v4, reg32+1), port(reg32 + 1 + length),
				&expr.Lookup{SourceRegister: reg32, DestRegister: reg1, IsDestRegSet: true, SetName: f.at.Name, SetID: f.at.ID}, nat,
			}),
			join(local, rule{
				protocol, port(reg32 + 1),
				&expr.Lookup{SourceRegister: reg32, DestRegister: reg1, IsDestRegSet: true, SetName: f.any.Name, SetID: f.any.ID}, nat,
			}))
	}
	return rules
}

// outside: the host's address stands for what leaves it, for what comes from its
// loopback, and for a pod that speaks to itself through a port of the host.
func (t *Table) outside(c Content) []rule {
	out, elsewhere := t.link(expr.MetaKeyOIFNAME, expr.CmpOpEq), t.link(expr.MetaKeyOIFNAME, expr.CmpOpNeq)
	loopback, _ := netip.ParsePrefix("127.0.0.0/8")
	rules := []rule{join(out, from(loopback), masquerade()), join(out, from(netip.PrefixFrom(netip.IPv6Loopback(), 128)), masquerade())}
	for _, f := range t.sets.families() {
		rules = append(rules, join(nfproto(f.v4), rule{
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, source(f.v4, reg2),
			&expr.Lookup{SourceRegister: reg1, SetName: f.from.Name, SetID: f.from.ID},
		}, masquerade()))
	}
	for _, n := range c.Networks {
		for _, subnet := range n {
			rules = append(rules, join(elsewhere, from(subnet), masquerade()))
		}
	}
	return rules
}

// waiting: a question for names that comes while no daemon runs is not told that nobody
// listens. Who asks repeats it after some seconds, where an error would have been final: a
// restart of the daemon is a delay.
func (t *Table) waiting(c Content) (rules []rule) {
	out := t.link(expr.MetaKeyOIFNAME, expr.CmpOpEq)
	for _, n := range c.Networks {
		for _, subnet := range n {
			rules = append(rules, join(out, from(subnet), unreachable(subnet.Addr().Is4(), unix.IPPROTO_UDP, 53), drop()))
		}
	}
	return rules
}

// unreachable matches the ICMP error "port unreachable" about a packet for a port. That
// packet begins 8 bytes behind the error's own header.
func unreachable(v4 bool, protocol byte, port uint16) rule {
	icmp, kind, next, ports := byte(unix.IPPROTO_ICMPV6), []byte{1, 4}, uint32(8+6), uint32(8+40)
	if v4 {
		icmp, kind, next, ports = unix.IPPROTO_ICMP, []byte{3, 3}, 8+9, 8+20 // without options
	}
	is := func(offset uint32, data ...byte) rule {
		return rule{
			&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: uint32(len(data))},
			&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: data},
		}
	}
	return join(
		rule{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{icmp}}},
		is(0, kind...), is(next, protocol), is(ports+2, byte(port>>8), byte(port)))
}

// passing: pods of a network reach one another; everybody reaches ports of the host;
// pods reach the outside; all else ends here. Links of others are not touched,
// but for uplinks when carob itself has made the host a router.
func (t *Table) passing(c Content) []rule {
	in, out := t.link(expr.MetaKeyIIFNAME, expr.CmpOpEq), t.link(expr.MetaKeyOIFNAME, expr.CmpOpEq)
	elsewhere := t.link(expr.MetaKeyOIFNAME, expr.CmpOpNeq)
	known := ct(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
	published := ct(expr.CtKeySTATUS, translated)
	rules := []rule{
		join(out, known, accept()), join(in, known, accept()),
		join(out, published, accept()),
	}
	for _, n := range c.Networks {
		for _, subnet := range n {
			rules = append(rules, join(in, out, from(subnet), to(subnet), accept()))
		}
	}
	rules = append(rules, join(out, drop()), join(in, elsewhere, accept()))
	u := t.sets.uplinks
	return append(rules, rule{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1}, &expr.Lookup{SourceRegister: reg1, SetName: u.Name, SetID: u.ID},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1}, &expr.Lookup{SourceRegister: reg1, SetName: u.Name, SetID: u.ID},
		&expr.Verdict{Kind: expr.VerdictDrop},
	})
}

func join(parts ...rule) (all rule) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// link matches links whose name begins as pods' do.
func (t *Table) link(key expr.MetaKey, op expr.CmpOp) rule {
	return rule{&expr.Meta{Key: key, Register: reg1}, &expr.Cmp{Op: op, Register: reg1, Data: []byte(t.prefix)}}
}

func nfproto(v4 bool) rule {
	family := byte(unix.NFPROTO_IPV6)
	if v4 {
		family = unix.NFPROTO_IPV4
	}
	return rule{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1}, &expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{family}}}
}

func header(offset, length, register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length}
}

func source(v4 bool, register uint32) expr.Any {
	if v4 {
		return header(12, 4, register)
	}
	return header(8, 16, register)
}

func destination(v4 bool, register uint32) expr.Any {
	if v4 {
		return header(16, 4, register)
	}
	return header(24, 16, register)
}

// port loads the destination port: TCP, UDP and SCTP have it in the same place.
func port(register uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func from(p netip.Prefix) rule { return within(p, source(p.Addr().Is4(), reg1)) }

func to(p netip.Prefix) rule { return within(p, destination(p.Addr().Is4(), reg1)) }

func within(p netip.Prefix, load expr.Any) rule {
	length := p.Addr().BitLen()
	return join(nfproto(p.Addr().Is4()), rule{
		load,
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: uint32(length / 8), Mask: net.CIDRMask(p.Bits(), length), Xor: make([]byte, length/8)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: p.Masked().Addr().AsSlice()},
	})
}

// ct matches connections with any of these bits.
func ct(key expr.CtKey, bits uint32) rule {
	return rule{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: native(bits), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: native(0)},
	}
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func accept() rule { return rule{&expr.Verdict{Kind: expr.VerdictAccept}} }

func drop() rule { return rule{&expr.Verdict{Kind: expr.VerdictDrop}} }

func masquerade() rule { return rule{&expr.Masq{}} }

// translated is IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h: the connection's
// destination was a port of the host.
const translated = 1 << 5
