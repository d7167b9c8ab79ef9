package ns

import (
	"encoding/binary"
	"net"
	"strconv"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// MoveLink moves a network device of this process's namespace into that of a process,
// under another name if as is not empty. The device's addresses do not come along. One
// rtnetlink message does both (rtnetlink(7), RTM_NEWLINK); NotFound when there is no such
// device.
func MoveLink(name, as string, pid int) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return fault.Wrap(fault.NotFound, name, err)
	}
	if as == "" {
		as = name
	}
	target, err := Open(pid, "net")
	if err != nil {
		return err
	}
	defer target.Close()
	msg := linkMessage(device.Index, as, int(target.Fd()))
	if err := ask(msg); err != nil {
		return fault.Wrap(fault.Denied, name+": move to "+as+" of process "+strconv.Itoa(pid), err)
	}
	return nil
}

// linkMessage is RTM_NEWLINK with the attributes IFLA_IFNAME and IFLA_NET_NS_FD.
func linkMessage(index int, as string, namespace int) []byte {
	e := binary.NativeEndian
	var m []byte
	m = e.AppendUint32(m, 0) // the length, filled in below
	m = e.AppendUint16(m, unix.RTM_NEWLINK)
	m = e.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	m = e.AppendUint32(m, 1) // sequence
	m = e.AppendUint32(m, 0) // port
	m = append(m, unix.AF_UNSPEC, 0)
	m = e.AppendUint16(m, 0) // type
	m = e.AppendUint32(m, uint32(index))
	m = e.AppendUint32(m, 0) // flags
	m = e.AppendUint32(m, 0) // change
	m = attribute(m, unix.IFLA_NET_NS_FD, e.AppendUint32(nil, uint32(namespace)))
	m = attribute(m, unix.IFLA_IFNAME, append([]byte(as), 0))
	e.PutUint32(m, uint32(len(m)))
	return m
}

func attribute(m []byte, kind uint16, value []byte) []byte {
	e := binary.NativeEndian
	m = e.AppendUint16(m, uint16(4+len(value)))
	m = e.AppendUint16(m, kind)
	m = append(m, value...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m
}

// ask sends a message to the kernel and reads whether it has been carried out.
func ask(msg []byte) error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.NLMSG_HDRLEN+4 {
		return unix.EBADMSG
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
