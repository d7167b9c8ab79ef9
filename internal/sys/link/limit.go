package link

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Limit shapes the traffic of a pair by its host end, where the pod has no say. Rates
// are bits per second, 0 is none. What the pod sends goes through an intermediate
// link (ifb) of the name given, which Delete removes: unlike the pair, it does not go
// with the pod.
func Limit(host, ifb string, toPod, fromPod uint64) error {
	l, err := netlink.LinkByName(host)
	if err != nil {
		return fault.Wrap(fault.Internal, "link "+host, err)
	}
	if toPod > 0 {
		if err := shape(l, toPod); err != nil {
			return err
		}
	}
	if fromPod == 0 {
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.Flags = ifb, l.Attrs().MTU, unix.IFF_UP
	between := &netlink.Ifb{LinkAttrs: attrs}
	if err := netlink.LinkAdd(between); err != nil {
		return fault.Wrap(fault.Unsupported, "limit of what a pod sends: link of type ifb (kernel module ifb)", err)
	}
	if err := netlink.LinkSetUp(between); err != nil {
		return fault.Wrap(fault.Internal, "link "+ifb, err)
	}
	if err := shape(between, fromPod); err != nil {
		return err
	}
	return redirect(l, between)
}

// shape is a token bucket with 10 ms of the rate as burst, but room for a packet as the
// kernel offloads them, and 25 ms of queue, as the CNI plugin bandwidth has it.
func shape(l netlink.Link, rate uint64) error {
	const largest, perSecond, queue = 64 << 10, 100, 40
	bytes := rate / 8
	burst := max(bytes/perSecond, largest)
	q := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       bytes, Buffer: ticks(burst, bytes), Limit: uint32(min(bytes/queue+burst, 1<<31)),
	}
	if err := netlink.QdiscAdd(q); err != nil {
		return fault.Wrap(fault.Unsupported, fmt.Sprintf("limit of %d bit/s: token bucket (kernel module sch_tbf)", rate), err)
	}
	return nil
}

// ticks is how long bytes take at a rate, in the unit of the kernel's packet scheduler.
func ticks(bytes, rate uint64) uint32 {
	return uint32(min(float64(bytes)/float64(rate)*netlink.TickInUsec()*1e6, 1<<32-1))
}

// redirect sends what arrives on a link through another one.
func redirect(from, to netlink.Link) error {
	in := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: from.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}}
	if err := netlink.QdiscAdd(in); err != nil {
		return fault.Wrap(fault.Unsupported, "limit of what a pod sends: kernel module sch_ingress", err)
	}
	all := &netlink.U32{ // without a selector: everything
		FilterAttrs: netlink.FilterAttrs{LinkIndex: from.Attrs().Index, Parent: in.Handle, Priority: 1, Protocol: unix.ETH_P_ALL},
		Actions:     []netlink.Action{netlink.NewMirredAction(to.Attrs().Index)},
	}
	if err := netlink.FilterAdd(all); err != nil {
		return fault.Wrap(fault.Unsupported, "limit of what a pod sends: kernel modules cls_u32, act_mirred", err)
	}
	return nil
}
