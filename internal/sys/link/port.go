package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// FreePort tries whether a process of the host has a port, by taking it for a moment;
// number 0 finds a free one. ip "" is every address. Exists when it is in use,
// Invalid when ip is not the host's, Unsupported when the kernel has no SCTP.
func FreePort(protocol, ip string, number int) (int, error) {
	at := net.JoinHostPort(ip, strconv.Itoa(number))
	family := ""
	if a, err := netip.ParseAddr(ip); err == nil {
		family = map[bool]string{true: "4", false: "6"}[a.Is4()]
	}
	got := number
	var err error
	switch {
	case protocol == "UDP":
		var c net.PacketConn
		if c, err = net.ListenPacket("udp"+family, at); err == nil {
			got = c.LocalAddr().(*net.UDPAddr).Port
			err = c.Close()
		}
	case protocol == "SCTP":
		got, err = bindSCTP(ip, number)
	default:
		var c net.Listener
		if c, err = net.Listen("tcp"+family, at); err == nil {
			got = c.Addr().(*net.TCPAddr).Port
			err = c.Close()
		}
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return 0, fault.New(fault.Exists, "a process of the host has it")
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return 0, fault.New(fault.Invalid, ip+" is not an address of the host")
	case errors.Is(err, unix.EPROTONOSUPPORT):
		return 0, fault.New(fault.Unsupported, "this kernel has no SCTP (module sctp)")
	case err != nil:
		return 0, fmt.Errorf("try: %w", err)
	}
	return got, nil
}

// bindSCTP binds a socket of a protocol that package net does not know.
func bindSCTP(ip string, number int) (int, error) {
	a, err := netip.ParseAddr(ip)
	if err != nil { // every address, of both families where there is IPv6
		got, err := bindSCTP("::", number)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) {
			got, err = bindSCTP("0.0.0.0", number)
		}
		return got, err
	}
	domain, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: number, Addr: a.As16()})
	if a.Is4() {
		domain, at = unix.AF_INET, &unix.SockaddrInet4{Port: number, Addr: a.As4()}
	}
	s, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(s) }()
	if err := unix.Bind(s, at); err != nil {
		return 0, err
	}
	bound, err := unix.Getsockname(s)
	switch b := bound.(type) {
	case *unix.SockaddrInet4:
		number = b.Port
	case *unix.SockaddrInet6:
		number = b.Port
	}
	return number, err
}
