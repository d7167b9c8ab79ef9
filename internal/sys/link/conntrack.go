package link

import (
	"net/netip"

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
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if err := forget(family, match); err != nil {
			return err
		}
	}
	return nil
}

// Attribute numbers of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctTupleOriginal, ctTupleReply, ctZone = 1, 2, 18
	ctTupleIP, ctTupleProto               = 1, 2
	ctProtoNumber, ctProtoDstPort         = 1, 3

	ctGet, ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1, unix.NFNL_SUBSYS_CTNETLINK<<8 | 2
)

func forget(family uint8, match func(original, reply Flow) bool) error {
	list := nl.NewNetlinkRequest(ctGet, unix.NLM_F_DUMP)
	header := &nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0}
	list.AddData(header)
	var doomed [][]*nl.RtAttr
	err := list.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(m []byte) bool {
		if original, reply, identity := parseConnection(m); identity != nil && match(original, reply) {
			doomed = append(doomed, identity)
		}
		return true
	})
	if err != nil {
		return fault.Wrap(fault.Unsupported, "tracked connections", err)
	}
	for _, identity := range doomed {
		del := nl.NewNetlinkRequest(ctDelete, unix.NLM_F_ACK)
		del.AddData(header)
		for _, a := range identity {
			del.AddData(a)
		}
		if _, err := del.Execute(unix.NETLINK_NETFILTER, 0); err != nil && err != unix.ENOENT {
			return fault.Wrap(fault.Internal, "tracked connection: remove", err)
		}
	}
	return nil
}

// parseConnection returns the directions and the attributes that identify a connection;
// nil for a message that is none.
func parseConnection(m []byte) (original, reply Flow, identity []*nl.RtAttr) {
	if len(m) < nl.SizeofNfgenmsg {
		return
	}
	attrs, err := nl.ParseRouteAttr(m[nl.SizeofNfgenmsg:])
	if err != nil {
		return
	}
	for _, a := range attrs {
		switch a.Attr.Type & nl.NLA_TYPE_MASK {
		case ctTupleOriginal:
			original = parseTuple(a.Value)
			identity = append(identity, nl.NewRtAttr(ctTupleOriginal|unix.NLA_F_NESTED, a.Value))
		case ctTupleReply:
			reply = parseTuple(a.Value)
		case ctZone:
			identity = append(identity, nl.NewRtAttr(ctZone, a.Value))
		}
	}
	return
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

func each(b []byte, f func(kind uint16, value []byte)) {
	attrs, err := nl.ParseRouteAttr(b)
	if err != nil {
		return
	}
	for _, a := range attrs {
		f(a.Attr.Type&nl.NLA_TYPE_MASK, a.Value)
	}
}
