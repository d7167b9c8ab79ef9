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
// Invalid when ip is not the host's. For SCTP only numbers are found, with the help of
// TCP.
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
	case protocol != "SCTP" || number == 0:
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
	case err != nil:
		return 0, fmt.Errorf("try: %w", err)
	}
	return got, nil
}
