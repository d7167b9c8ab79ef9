package ns

import (
	"encoding/binary"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// MoveLink moves a network device of this process's namespace into that of a process,
// under another name if as is not empty, gives it back its permanent global addresses,
// which the kernel takes away with the namespace, and brings it up. NotFound when there
// is no such device.
func MoveLink(name, as string, pid int) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return fault.Wrap(fault.NotFound, name, err)
	}
	if as == "" {
		as = name
	}
	addresses, err := permanent(device.Index)
	if err != nil {
		return fault.Wrap(fault.Internal, name+": addresses", err)
	}
	target, err := Open(pid, "net")
	if err != nil {
		return err
	}
	defer target.Close()
	if err := ask(linkMessage(device.Index, as, int(target.Fd()))); err != nil {
		return fault.Wrap(fault.Denied, name+": move to "+as+" of process "+strconv.Itoa(pid), err)
	}
	return inside(target, func() error { return settle(as, addresses) })
}

// inside runs a function on a thread that has entered a network namespace, and is not
// used again.
func inside(namespace *os.File, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fault.Wrap(fault.Denied, "network namespace: setns", err)
			return
		}
		done <- do()
	}()
	return <-done
}

// settle gives a device, in this namespace, its addresses and brings it up.
func settle(name string, addresses [][]byte) error {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return fault.Wrap(fault.NotFound, name, err)
	}
	for _, a := range addresses {
		binary.NativeEndian.PutUint32(a[4:], uint32(device.Index)) // struct ifaddrmsg
		if err := ask(message(unix.RTM_NEWADDR, unix.NLM_F_CREATE, a)); err != nil {
			return fault.Wrap(fault.Denied, name+": address", err)
		}
	}
	up := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(up[4:], uint32(device.Index))
	binary.NativeEndian.PutUint32(up[8:], unix.IFF_UP)
	binary.NativeEndian.PutUint32(up[12:], unix.IFF_UP)
	if err := ask(message(unix.RTM_NEWLINK, 0, up)); err != nil {
		return fault.Wrap(fault.Denied, name+": up", err)
	}
	return nil
}

// permanent lists a device's global addresses without an end, as the kernel describes
// them: struct ifaddrmsg with attributes.
func permanent(index int) ([][]byte, error) {
	table, err := syscall.NetlinkRIB(unix.RTM_GETADDR, unix.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	all, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, m := range all {
		d := m.Data
		if m.Header.Type != unix.RTM_NEWADDR || len(d) < unix.SizeofIfAddrmsg || int(binary.NativeEndian.Uint32(d[4:])) != index {
			continue
		}
		if flags, scope := d[2], d[3]; flags&unix.IFA_F_PERMANENT != 0 && scope == unix.RT_SCOPE_UNIVERSE {
			out = append(out, d)
		}
	}
	return out, nil
}

// message is a request to rtnetlink with this body.
func message(kind, flags uint16, body []byte) []byte {
	e := binary.NativeEndian
	m := e.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	m = e.AppendUint16(m, kind)
	m = e.AppendUint16(m, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	m = e.AppendUint32(m, 1) // sequence
	m = e.AppendUint32(m, 0) // port
	return append(m, body...)
}

// linkMessage is RTM_NEWLINK with the attributes IFLA_IFNAME and IFLA_NET_NS_FD.
func linkMessage(index int, as string, namespace int) []byte {
	e := binary.NativeEndian
	body := make([]byte, unix.SizeofIfInfomsg)
	e.PutUint32(body[4:], uint32(index))
	body = attribute(body, unix.IFLA_NET_NS_FD, e.AppendUint32(nil, uint32(namespace)))
	return message(unix.RTM_NEWLINK, 0, attribute(body, unix.IFLA_IFNAME, append([]byte(as), 0)))
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
