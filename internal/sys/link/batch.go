package link

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// batch is a stream of requests that the kernel answers in one go. An acknowledgement
// is asked for the last one only: of the others the kernel tells failures.
type batch struct {
	requests []*nl.NetlinkRequest
	steps    []string
}

// add appends a request; step names it in errors.
func (b *batch) add(step string, kind uint16, flags int, parts ...nl.NetlinkRequestData) {
	r := nl.NewNetlinkRequest(int(kind), flags)
	for _, p := range parts {
		r.AddData(p)
	}
	b.requests = append(b.requests, r)
	b.steps = append(b.steps, step)
}

// socket is a netlink socket in the namespace its thread was in.
type socket int

// dial opens a socket in the calling thread's network namespace.
func dial() (socket, error) {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fault.Wrap(fault.Unsupported, "netlink", err)
	}
	// Without these the kernel's explanation is missing, nothing else.
	_ = unix.SetsockoptInt(s, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	_ = unix.SetsockoptInt(s, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return socket(s), nil
}

func (s socket) close() { _ = unix.Close(int(s)) }

// run sends a batch and calls answer with every message that is not an
// acknowledgement. The kernel goes on after a request that failed; run returns
// the first failure that tolerate does not take.
func (s socket) run(b *batch, answer func(kind uint16, payload []byte), tolerate func(step string, e unix.Errno) bool) error {
	if err := s.send(b.stream()); err != nil {
		return err
	}
	o := outcome{b: b, answer: answer, tolerate: tolerate}
	buf := make([]byte, 16<<10)
	for !o.done {
		n, _, err := unix.Recvfrom(int(s), buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fault.Wrap(fault.Internal, "netlink: receive", err)
		}
		o.take(buf[:n])
	}
	return o.first
}

// stream numbers the requests and puts them into one buffer.
func (b *batch) stream() (stream []byte) {
	for i, r := range b.requests {
		r.Seq = uint32(i + 1)
		if i == len(b.requests)-1 {
			r.Flags |= unix.NLM_F_ACK
		}
		stream = append(stream, r.Serialize()...)
	}
	return stream
}

func (s socket) send(stream []byte) error {
	for {
		err := unix.Sendto(int(s), stream, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fault.Wrap(fault.Internal, "netlink: send", err)
		}
	}
}

// outcome is what came of a batch so far.
type outcome struct {
	b        *batch
	answer   func(kind uint16, payload []byte)
	tolerate func(step string, e unix.Errno) bool
	first    error
	done     bool
}

// take reads the messages of one datagram.
func (o *outcome) take(rest []byte) {
	for len(rest) >= unix.SizeofNlMsghdr && !o.done {
		h := header(rest)
		if h.Len < unix.SizeofNlMsghdr || int(h.Len) > len(rest) {
			return
		}
		payload := rest[unix.SizeofNlMsghdr:h.Len]
		rest = rest[min(int(h.Len+3)&^3, len(rest)):]
		switch {
		case h.Type == unix.NLMSG_ERROR:
			o.acknowledged(h, payload)
		case o.answer != nil:
			o.answer(h.Type, payload)
		}
	}
}

func (o *outcome) acknowledged(h unix.NlMsghdr, payload []byte) {
	if len(payload) < 4 || h.Seq == 0 || int(h.Seq) > len(o.b.steps) {
		return
	}
	e := unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))
	step := o.b.steps[h.Seq-1]
	if e != 0 && o.first == nil && (o.tolerate == nil || !o.tolerate(step, e)) {
		o.first = refusal(step, e, explanation(payload, h.Flags))
	}
	o.done = int(h.Seq) == len(o.b.steps)
}

func header(b []byte) unix.NlMsghdr {
	return unix.NlMsghdr{
		Len: binary.NativeEndian.Uint32(b), Type: binary.NativeEndian.Uint16(b[4:]), Flags: binary.NativeEndian.Uint16(b[6:]),
		Seq: binary.NativeEndian.Uint32(b[8:]), Pid: binary.NativeEndian.Uint32(b[12:]),
	}
}

// explanation finds NLMSGERR_ATTR_MSG behind an error's header.
func explanation(payload []byte, flags uint16) string {
	const at = 4 + unix.SizeofNlMsghdr
	if flags&unix.NLM_F_ACK_TLVS == 0 || len(payload) < at {
		return ""
	}
	text := ""
	each(payload[at:], func(kind uint16, value []byte) {
		if kind == unix.NLMSGERR_ATTR_MSG {
			text = strings.TrimRight(string(value), "\x00")
		}
	})
	return text
}

func refusal(step string, e unix.Errno, why string) error {
	if why != "" {
		step = fmt.Sprintf("%s: %s", step, why)
	}
	return fault.Wrap(kindOf(e), step, e)
}

func kindOf(e unix.Errno) fault.Kind {
	switch e {
	case unix.EPERM, unix.EACCES:
		return fault.Denied
	case unix.EEXIST, unix.EBUSY:
		return fault.Exists
	case unix.ENODEV, unix.ENOENT, unix.ESRCH:
		return fault.NotFound
	case unix.EOPNOTSUPP, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT:
		return fault.Unsupported
	}
	return fault.Internal
}
