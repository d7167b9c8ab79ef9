package link

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"

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
	// Localhost lets connections from the host's 127.0.0.0/8 out to the pod
	// (route_localnet).
	Localhost bool
}

// linkLocal is the pod's next hop in IPv6: on a link between two, any will do.
var linkLocal = netip.MustParseAddr("fe80::1")

// Connect makes the pair; netns is the pod's network namespace. On an error the
// pair may be there: Delete takes it back, and so does the end of the namespace.
func Connect(netns *os.File, p Pair) error {
	pod, err := dialIn(netns)
	if err != nil {
		return err
	}
	defer pod.close()
	host, err := dial()
	if err != nil {
		return err
	}
	defer host.close()
	index, err := host.create(netns, p)
	if err != nil {
		return err
	}
	if err := host.configure(index, p); err != nil {
		return err
	}
	inside, err := pod.index(p.Pod)
	if err != nil {
		return err
	}
	return pod.configureInside(inside, p)
}

// dialIn opens a socket in another network namespace. The thread that enters it is
// given up: it never runs anything else.
func dialIn(netns *os.File) (socket, error) {
	type result struct {
		s   socket
		err error
	}
	done := make(chan result)
	onDisposable(func() {
		if err := unix.Setns(int(netns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{-1, fault.Wrap(kindOf(err.(unix.Errno)), "network namespace: enter", err)}
			return
		}
		s, err := dial()
		done <- result{s, err}
	})
	r := <-done
	return r.s, r.err
}

// onDisposable runs f on a thread that ends with it. The main thread never ends but is
// parked, and would hold the namespace for as long as the process lives: while it is
// held here, f goes to another one.
func onDisposable(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		over := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			defer close(over)
			f()
		}()
		<-over
		runtime.UnlockOSThread()
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

func (b *batch) askIndex(name string) {
	b.add("link "+name, unix.RTM_GETLINK, 0, nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
}

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

// configure gives the host's end its addresses, and the host the routes to the pod.
func (s socket) configure(index int, p Pair) error {
	var b batch
	if p.Localhost {
		b.devconf(index, routeLocalnet, 1)
	}
	for i, gw := range p.Gateways {
		b.address(index, netip.PrefixFrom(gw, gw.BitLen()))
		if gw.Is6() {
			b.address(index, netip.PrefixFrom(linkLocal, 64))
		}
		ip := p.Addresses[i]
		b.route(route{to: netip.PrefixFrom(ip, ip.BitLen()), index: index, from: gw})
	}
	return s.run(&b, nil, nil)
}

// configureInside gives the pod's end its addresses, and the pod its routes.
func (s socket) configureInside(index int, p Pair) error {
	var b batch
	b.add("link "+p.Pod, unix.RTM_SETLINK, 0, up(index))
	for i, ip := range p.Addresses {
		b.address(index, netip.PrefixFrom(ip, ip.BitLen()))
		via := p.Gateways[i]
		if via.Is6() {
			via = linkLocal
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
