package link

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Pair is a veth pair between this process's network namespace and a pod's, with
// everything that makes it a route.
type Pair struct {
	// Host and Pod are the names of the two ends.
	Host, Pod string
	MTU       int
	// MAC is the pod's end's; chosen by the kernel when nil.
	MAC net.HardwareAddr
	// Gateways are the host's addresses on its end, and Addresses the pod's, one per
	// family at most; each pair of the same family.
	Gateways, Addresses []netip.Addr
	// Default gives the pod's end the default routes; Subnets are routed through it.
	Default bool
	Subnets []netip.Prefix
	// Localhost lets connections from the host's 127.0.0.0/8 (route_localnet) and ::1 out
	// to the pod, and their answers in.
	Localhost bool
}

// gatewayLinkLocal is the pod's next hop in IPv6: on a link between two, any will do.
var gatewayLinkLocal = netip.MustParseAddr("fe80::1")

func (p Pair) hasIPv6() bool { return slices.ContainsFunc(p.Addresses, netip.Addr.Is6) }

// linkLocalOf is the address that a link makes of its hardware address (RFC 4291,
// appendix A).
func linkLocalOf(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
}

// Connect makes the pair; netns is the pod's network namespace. On an error the
// pair may be there: Delete takes it back, and so does the end of the namespace.
func Connect(netns *os.File, p Pair) error { return connect(netns, p, socket.configure) }

// Prepare is Connect without the host's addresses and routes, and without Localhost:
// nobody reaches the pod's addresses until Complete. Errors are as Connect's.
func Prepare(netns *os.File, p Pair) error { return connect(netns, p, socket.quiet) }

// Complete makes a pair that Prepare has made what Connect makes of it. NotFound when it
// is gone.
func Complete(p Pair) error {
	s, err := dial()
	if err != nil {
		return err
	}
	defer s.close()
	index, err := s.index(p.Host)
	if err != nil {
		return err
	}
	return s.configure(index, p)
}

// Restore gives a pair's end on the host, and the host, what Connect gives them and is not
// there any more. NotFound when the pair is gone.
func Restore(p Pair) error {
	s, err := dial()
	if err != nil {
		return err
	}
	defer s.close()
	index, err := s.index(p.Host)
	if err != nil {
		return err
	}
	return s.run(outside(index, p), nil, func(_ string, e unix.Errno) bool { return e == unix.EEXIST })
}

func connect(netns *os.File, p Pair, configure func(s socket, index int, p Pair) error) error {
	inside := dialIn(netns) // beside the work outside
	err := connectHost(netns, p, configure)
	pod := <-inside
	if err = errors.Join(err, pod.err); err != nil {
		pod.socket.close()
		return err
	}
	defer pod.socket.close()
	index, err := pod.socket.index(p.Pod)
	if err != nil {
		return err
	}
	return pod.socket.configureInside(index, p)
}

func connectHost(netns *os.File, p Pair, configure func(s socket, index int, p Pair) error) error {
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	index, err := host.create(netns, p)
	if err != nil {
		return err
	}
	return configure(host, index, p)
}

// dialed is a socket in another network namespace, for whoever receives it to close.
type dialed struct {
	socket socket
	err    error
}

// dialIn opens a socket in another network namespace, which stays open until the
// channel has told what came of it.
func dialIn(netns *os.File) <-chan dialed {
	done := make(chan dialed, 1)
	offMain(func() {
		runtime.LockOSThread()
		s, back, err := visit(int(netns.Fd()))
		if back {
			runtime.UnlockOSThread()
		} // else the thread ends with the goroutine: it never runs anything else
		done <- dialed{s, err}
	})
	return done
}

// visit opens a socket in a network namespace and comes back; not back is a thread to be
// given up. Coming back saves the kernel the end of a thread and the start of the next,
// 0.05 to 0.2 ms for each pod.
func visit(netns int) (s socket, back bool, err error) {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, true, fault.Wrap(fault.Internal, "network namespace: own", err)
	}
	defer func() { _ = unix.Close(home) }()
	if err := unix.Setns(netns, unix.CLONE_NEWNET); err != nil {
		return -1, true, fault.Wrap(kindOf(err.(unix.Errno)), "network namespace: enter", err)
	}
	s, err = dial()
	return s, unix.Setns(home, unix.CLONE_NEWNET) == nil, err
}

// offMain runs f on its own, not on the main thread: through it everybody reads
// /proc/self/net, and it never ends but is parked, should it not find its way back from a
// namespace. While it is held here, f goes to another one.
func offMain(f func()) {
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			f()
		}()
		<-over
	}()
}

// create makes the pair with the host's end up, and returns the index of the host's.
func (s socket) create(netns *os.File, p Pair) (int, error) {
	// One queue each: a veth without XDP uses no more, and by default the kernel makes
	// one for every processor.
	common := func(parent interface {
		AddRtAttr(int, []byte) *nl.RtAttr
	}, name string) {
		parent.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name))
		parent.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(p.MTU)))
		parent.AddRtAttr(unix.IFLA_NUM_TX_QUEUES, nl.Uint32Attr(1))
		parent.AddRtAttr(unix.IFLA_NUM_RX_QUEUES, nl.Uint32Attr(1))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC) // up later: veth refuses it before both ends are there
	common(peer, p.Pod)
	peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(netns.Fd())))
	if p.MAC != nil {
		peer.AddRtAttr(unix.IFLA_ADDRESS, p.MAC)
	}
	var b batch
	b.add("link "+p.Host, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, up(0), attributes(func(a *list) { common(a, p.Host) }), info)
	b.askIndex(p.Host)
	return s.answerIndex(&b)
}

// up is the message that brings a link up; index 0 is the one to be made.
func up(index int) *nl.IfInfomsg {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index, m.Flags, m.Change = int32(index), unix.IFF_UP, unix.IFF_UP
	return m
}

// askIndex asks for a link without its counters, which are most of the answer.
func (b *batch) askIndex(name string) {
	b.add("link "+name, unix.RTM_GETLINK, 0, nl.NewIfInfomsg(unix.AF_UNSPEC),
		nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)), nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats)))
}

// skipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h.
const skipStats = 1 << 3

func (s socket) answerIndex(b *batch) (index int, err error) {
	err = s.run(b, func(kind uint16, payload []byte) {
		if kind == unix.RTM_NEWLINK && len(payload) >= unix.SizeofIfInfomsg {
			index = int(int32(binary.NativeEndian.Uint32(payload[4:])))
		}
	}, nil)
	return index, err
}

func (s socket) index(name string) (int, error) {
	var b batch
	b.askIndex(name)
	return s.answerIndex(&b)
}

// quiet keeps the host's end from making addresses of its own.
func (s socket) quiet(index int, p Pair) error {
	if !p.hasIPv6() {
		return nil
	}
	var b batch
	b.set(index, settings{addresses: true})
	return s.run(&b, nil, nil)
}

// configure gives the host's end its addresses, and the host the routes to the pod.
func (s socket) configure(index int, p Pair) error { return s.run(outside(index, p), nil, nil) }

func outside(index int, p Pair) *batch {
	var b batch
	b.set(index, settings{localhost: p.Localhost, addresses: p.hasIPv6()})
	if p.Localhost && p.hasIPv6() {
		b.localhost6(index)
	}
	for i, gw := range p.Gateways {
		b.address(index, netip.PrefixFrom(gw, gw.BitLen()))
		if gw.Is6() {
			b.address(index, netip.PrefixFrom(gatewayLinkLocal, 64))
		}
		ip := p.Addresses[i]
		b.route(route{to: netip.PrefixFrom(ip, ip.BitLen()), index: index, from: gw})
	}
	return &b
}

// configureInside gives the pod's end its addresses, and the pod its routes.
func (s socket) configureInside(index int, p Pair) error {
	var b batch
	own := p.MAC != nil && p.hasIPv6()
	b.set(index, settings{addresses: own})
	b.add("link "+p.Pod, unix.RTM_SETLINK, 0, up(index))
	if own {
		b.address(index, netip.PrefixFrom(linkLocalOf(p.MAC), 64))
	}
	for i, ip := range p.Addresses {
		b.address(index, netip.PrefixFrom(ip, ip.BitLen()))
		via := p.Gateways[i]
		if via.Is6() {
			via = gatewayLinkLocal
		}
		if p.Default {
			to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
			if ip.Is6() {
				to = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
			b.route(route{to: to, via: via, index: index})
		}
		for _, n := range p.Subnets {
			if n.Addr().Is4() == ip.Is4() && !p.Default {
				b.route(route{to: n, via: via, index: index, from: ip})
			}
		}
	}
	return s.run(&b, nil, nil)
}
