package link

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// tracked is a message about a connection as the kernel writes it.
func tracked(source, destination string, port uint16) []byte {
	tuple := func(kind int, from, to string) *nl.RtAttr {
		a := nl.NewRtAttr(kind|unix.NLA_F_NESTED, nil)
		ip := a.AddRtAttr(ctTupleIP|unix.NLA_F_NESTED, nil)
		ip.AddRtAttr(1, netip.MustParseAddr(from).AsSlice())
		ip.AddRtAttr(2, netip.MustParseAddr(to).AsSlice())
		proto := a.AddRtAttr(ctTupleProto|unix.NLA_F_NESTED, nil)
		proto.AddRtAttr(ctProtoNumber, []byte{17})
		proto.AddRtAttr(ctProtoDstPort, []byte{byte(port >> 8), byte(port)})
		return a
	}
	m := []byte{unix.AF_INET, 0, 0, 0}
	m = append(m, tuple(ctTupleOriginal, source, destination).Serialize()...)
	return append(m, tuple(ctTupleReply, "10.0.0.2", source).Serialize()...)
}

func TestParseConnection(t *testing.T) {
	c, ok := parseConnection(tracked("192.0.2.1", "192.0.2.2", 5353))
	want := Flow{Source: netip.MustParseAddr("192.0.2.1"), Destination: netip.MustParseAddr("192.0.2.2"), Protocol: 17, Port: 5353}
	if !ok || c.original != want || c.reply.Source != netip.MustParseAddr("10.0.0.2") || c.family != unix.AF_INET || len(c.identity) != 1 {
		t.Errorf("%+v, %v", c, ok)
	}
	if _, ok := parseConnection([]byte{2, 0, 0, 0}); ok {
		t.Error("an empty message is a connection")
	}
}

func FuzzParseConnection(f *testing.F) {
	f.Add(tracked("192.0.2.1", "192.0.2.2", 5353))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) { parseConnection(b) })
}

// FuzzOutcome: whatever comes as an answer is read to its end and no further.
func FuzzOutcome(f *testing.F) {
	b := &batch{steps: []string{"one", "two"}}
	f.Add([]byte{36, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1})
	f.Fuzz(func(_ *testing.T, in []byte) {
		o := outcome{b: b, answer: func(uint16, []byte) {}}
		o.take(in)
	})
}

// TestOutcome: the first refusal counts, with its step and kind, and the last
// acknowledgement ends it.
func TestOutcome(t *testing.T) {
	o := outcome{b: &batch{steps: []string{"link x", "route y"}}}
	ack := func(seq byte, errno unix.Errno) []byte {
		e := uint32(-int32(errno))
		return append([]byte{36, 0, 0, 0, 2, 0, 0, 0, seq, 0, 0, 0, 0, 0, 0, 0, byte(e), byte(e >> 8), byte(e >> 16), byte(e >> 24)}, make([]byte, 16)...)
	}
	o.take(ack(1, unix.EEXIST))
	if o.done {
		t.Error("done after the first of two")
	}
	o.take(ack(2, unix.EPERM))
	if !o.done || !fault.Is(o.first, fault.Exists) || o.first.Error() != "link x: file exists" {
		t.Errorf("%v, %v", o.done, o.first)
	}
}
