package link

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Flow is one side's view of a tracked connection: addresses of one direction, and the
// port it is for.
type Flow struct {
	Source, Destination netip.Addr
	Protocol            uint8
	Port                uint16 // destination's
}

// Forget removes tracked connections that match, given both directions, so that
// packets of today are not sent where an earlier pod was. It reads the whole table,
// a message at a time.
func Forget(match func(original, reply Flow) bool) error {
	list := nl.NewNetlinkRequest(ctGet, unix.NLM_F_DUMP)
	list.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0}) // both families in one pass
	var doomed []connection
	err := list.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(m []byte) bool {
		if c, ok := parseConnection(m); ok && match(c.original, c.reply) {
			doomed = append(doomed, c)
		}
		return true
	})
	if err != nil {
		return fault.Wrap(fault.Unsupported, "tracked connections", err)
	}
	for _, c := range doomed {
		del := nl.NewNetlinkRequest(ctDelete, unix.NLM_F_ACK)
		del.AddData(&nl.Nfgenmsg{NfgenFamily: c.family, Version: nl.NFNETLINK_V0})
		for _, a := range c.identity {
			del.AddData(a)
		}
		if _, err := del.Execute(unix.NETLINK_NETFILTER, 0); err != nil && err != unix.ENOENT {
			return fault.Wrap(fault.Internal, "tracked connection: remove", err)
		}
	}
	return nil
}

// connection is a tracked one; identity is the attributes that name it to the kernel.
type connection struct {
	family          uint8
	original, reply Flow
	identity        []*nl.RtAttr
}

// Attribute numbers of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctTupleOriginal, ctTupleReply, ctZone = 1, 2, 18
	ctTupleIP, ctTupleProto               = 1, 2
	ctProtoNumber, ctProtoDstPort         = 1, 3

	ctGet, ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1, unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
)

// parseConnection reads a message of a dump; not ok for one that is no connection.
func parseConnection(m []byte) (c connection, ok bool) {
	if len(m) < nl.SizeofNfgenmsg {
		return c, false
	}
	c.family = m[0]
	each(m[nl.SizeofNfgenmsg:], func(kind uint16, value []byte) {
		switch kind {
		case ctTupleOriginal:
			c.original = parseTuple(value)
			c.identity = append(c.identity, nl.NewRtAttr(ctTupleOriginal|unix.NLA_F_NESTED, slices.Clone(value)))
		case ctTupleReply:
			c.reply = parseTuple(value)
		case ctZone:
			c.identity = append(c.identity, nl.NewRtAttr(ctZone, slices.Clone(value)))
		}
	})
	return c, len(c.identity) > 0
}

func parseTuple(b []byte) (f Flow) {
	each(b, func(kind uint16, value []byte) {
		switch kind {
		case ctTupleIP:
			each(value, func(kind uint16, value []byte) {
				ip, _ := netip.AddrFromSlice(value)
				switch kind {
				case 1, 3: // CTA_IP_V4_SRC, CTA_IP_V6_SRC
					f.Source = ip
				case 2, 4:
					f.Destination = ip
				}
			})
		case ctTupleProto:
			each(value, func(kind uint16, value []byte) {
				switch {
				case kind == ctProtoNumber && len(value) == 1:
					f.Protocol = value[0]
				case kind == ctProtoDstPort && len(value) == 2:
					f.Port = uint16(value[0])<<8 | uint16(value[1])
				}
			})
		}
	})
	return f
}

// each calls f for every attribute in b, without the flags in its type. What is cut short
// ends it (nl.ParseRouteAttr panics where padding is missing).
func each(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		f(kind&nl.NLA_TYPE_MASK, b[unix.SizeofRtAttr:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}
