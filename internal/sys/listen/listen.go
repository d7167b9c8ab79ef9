// Package listen opens sockets of servers whose address comes and goes with links: on an
// address that is not there yet, and beside another server that listens on all addresses.
// It keeps no state; what it returns is the caller's.
package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// UDP opens a UDP socket on the address. Another's socket on all addresses and this port is
// no hindrance where that allows it (SO_REUSEADDR): the more specific one is given what is
// for it. Conflict when the port is taken.
func UDP(ctx context.Context, at netip.AddrPort) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: control}
	c, err := lc.ListenPacket(ctx, "udp", at.String())
	if err != nil {
		return nil, refused(err)
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fault.New(fault.Internal, "listen: not a UDP socket"), c.Close())
	}
	return u, nil
}

// TCP opens a TCP listener on the address: see UDP.
func TCP(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{Control: control, KeepAlive: -1}
	l, err := lc.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, refused(err)
	}
	return l, nil
}

func refused(err error) error {
	kind := fault.Internal
	if errors.Is(err, unix.EADDRINUSE) {
		kind = fault.Conflict
	}
	return fault.Wrap(kind, "", err)
}

// control sets what must be set before bind. IP_FREEBIND allows an address that is not
// there (ip(7)); IPv6 has its own since Linux 4.15.
func control(network, _ string, c syscall.RawConn) error {
	level, freebind := unix.IPPROTO_IP, unix.IP_FREEBIND
	if network == "udp6" || network == "tcp6" {
		level, freebind = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	var inner error
	err := c.Control(func(n uintptr) {
		inner = errors.Join(
			unix.SetsockoptInt(int(n), level, freebind, 1),
			unix.SetsockoptInt(int(n), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		)
	})
	return errors.Join(err, inner)
}
