package toolbox

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"carob/internal/toolbox/tool"
	"carob/internal/toolbox/web"
)

func networkTools() []tool.Tool {
	return []tool.Tool{
		{Name: "ip", Usage: "[addr | link | route]", Does: "show interfaces, addresses and IPv4 routes", Run: ip},
		{Name: "nc", Usage: "[-lzU] [-p PORT] [-w SECONDS] [HOST] [PORT]", Does: "connect to a TCP port or unix socket, or wait for a connection", Run: nc},
		{Name: "netstat", Usage: "[-tlnau]", Does: "show TCP and UDP sockets", Run: netstat},
		{Name: "nslookup", Usage: "NAME", Does: "look up a name or an address", Run: nslookup},
		{Name: "wget", Usage: "[-q] [-O FILE] [-T SECONDS] URL", Does: "fetch a URL into a file", Run: web.Fetch},
	}
}

// ip shows what ip(8) shows; changing it is the runtime's work.
func ip(c *tool.Call) (int, error) {
	args := slices.DeleteFunc(slices.Clone(c.Args), func(a string) bool {
		return a == "show" || a == "list" || a == "ls" || strings.HasPrefix(a, "-")
	})
	switch {
	case len(args) > 1:
		return 0, tool.Misuse{}
	case len(args) == 0 || strings.HasPrefix("address", args[0]):
		return 0, interfaces(c, true)
	case strings.HasPrefix("link", args[0]):
		return 0, interfaces(c, false)
	case strings.HasPrefix("route", args[0]):
		return 0, routes(c)
	}
	return 0, tool.Misused("unknown object '%s'", args[0])
}

func interfaces(c *tool.Call, addresses bool) error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range all {
		flags := strings.ToUpper(strings.ReplaceAll(i.Flags.String(), "|", ","))
		fmt.Fprintf(c.Out, "%d: %s: <%s> mtu %d\n", i.Index, tool.Printable(i.Name), flags, i.MTU)
		if len(i.HardwareAddr) > 0 {
			fmt.Fprintf(c.Out, "    link %s\n", i.HardwareAddr)
		}
		if !addresses {
			continue
		}
		found, err := i.Addrs()
		if err != nil {
			return err
		}
		for _, a := range found {
			family := "inet"
			if strings.Contains(a.String(), ":") {
				family = "inet6"
			}
			fmt.Fprintf(c.Out, "    %s %s\n", family, a)
		}
	}
	return nil
}

func routes(c *tool.Call) error {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if line, ok := routeLine(s.Text()); ok {
			fmt.Fprintln(c.Out, line)
		}
	}
	return s.Err()
}

// routeLine reads one line of /proc/net/route: interface, destination, gateway, flags,
// three more, and the mask, in the machine's byte order.
func routeLine(line string) (string, bool) {
	f := strings.Fields(line)
	if len(f) < 8 {
		return "", false
	}
	to, ok1 := procIPv4(f[1])
	via, ok2 := procIPv4(f[2])
	mask, ok3 := procIPv4(f[7])
	if !ok1 || !ok2 || !ok3 {
		return "", false // the heading
	}
	bits, _ := net.IPMask(mask.AsSlice()).Size()
	text := "default"
	if bits > 0 {
		text = netip.PrefixFrom(to, bits).String()
	}
	if !via.IsUnspecified() {
		text += " via " + via.String()
	}
	return text + " dev " + tool.Printable(f[0]), true
}

func procIPv4(text string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(hostOrder(raw))), true
}

// hostOrder turns words that /proc printed as numbers into the bytes they are.
func hostOrder(raw []byte) []byte {
	out := make([]byte, len(raw))
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.NativeEndian.PutUint32(out[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	return out
}

// netstat prints numbers only, for there is nobody to ask for names.
func netstat(c *tool.Call) (int, error) {
	o, _, err := c.Operands(0, 0, "tulnap")
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(c.Out, "%-5s %-28s %-28s %s\n", "Proto", "Local Address", "Foreign Address", "State")
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6"} {
		if (o.Has('t') || o.Has('u')) && !o.Has(proto[0]) {
			continue
		}
		f, err := os.Open("/proc/net/" + proto)
		if errors.Is(err, os.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return 0, err
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if line, ok := socketLine(proto, s.Text(), o); ok {
				fmt.Fprintln(c.Out, line)
			}
		}
		f.Close()
	}
	return 0, nil
}

// socketStates are enum of <net/tcp_states.h>, from 1.
func socketStates() []string {
	return []string{"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV"}
}

// socketLine reads one line of /proc/net/tcp and its like. Without -a and -l only what is
// connected is shown.
func socketLine(proto, line string, o tool.Options) (string, bool) {
	f := strings.Fields(line)
	if len(f) < 4 {
		return "", false
	}
	local, ok1 := procAddress(f[1])
	remote, ok2 := procAddress(f[2])
	n, err := strconv.ParseUint(f[3], 16, 8)
	if !ok1 || !ok2 || err != nil || int(n) >= len(socketStates()) {
		return "", false
	}
	state := socketStates()[n]
	udp := strings.HasPrefix(proto, "udp") && state == "CLOSE" // bound, without a peer
	if waits := state == "LISTEN" || udp; waits != o.Has('l') && !o.Has('a') {
		return "", false
	}
	if udp {
		state = ""
	}
	return strings.TrimRight(fmt.Sprintf("%-5s %-28s %-28s %s", proto, local, remote, state), " "), true
}

func procAddress(text string) (string, bool) {
	host, port, ok := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil {
		return "", false
	}
	addr, ok := netip.AddrFromSlice(hostOrder(raw))
	if !ok {
		return "", false
	}
	shown := strconv.FormatUint(n, 10)
	if n == 0 {
		shown = "*"
	}
	return net.JoinHostPort(addr.Unmap().String(), shown), true
}

// nslookup asks as programs of this image do: /etc/hosts, then the servers in
// /etc/resolv.conf.
func nslookup(c *tool.Call) (int, error) {
	_, rest, err := c.Operands(1, 1, "")
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	r := net.Resolver{PreferGo: true}
	if net.ParseIP(rest[0]) != nil {
		names, err := r.LookupAddr(ctx, rest[0])
		for _, n := range names {
			fmt.Fprintf(c.Out, "%s\tname = %s\n", rest[0], tool.Printable(n))
		}
		return 0, lookUpError(rest[0], err)
	}
	addresses, err := r.LookupIPAddr(ctx, rest[0])
	for _, a := range addresses {
		fmt.Fprintf(c.Out, "Name:\t%s\nAddress: %s\n", tool.Printable(rest[0]), a.String())
	}
	return 0, lookUpError(rest[0], err)
}

func lookUpError(name string, err error) error {
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &dns) && dns.IsNotFound:
		return fmt.Errorf("can't find %s: no such name", name)
	case errors.As(err, &dns) && dns.IsTimeout:
		return fmt.Errorf("can't find %s: no answer from %s", name, dns.Server)
	}
	return fmt.Errorf("can't find %s: %s", name, tool.Why(err))
}

func nc(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(0, 2, "lzUvnp:w:")
	if err != nil {
		return 0, err
	}
	network, address, err := ncAddress(o, rest)
	if err != nil {
		return 0, err
	}
	limit := tool.Forever
	if o.Has('w') {
		if limit, err = tool.ParseDuration(o['w']); err != nil {
			return 0, err
		}
	}
	conn, err := ncConnect(o, network, address, limit)
	if err != nil {
		return 0, fmt.Errorf("%s: %s", address, tool.Why(err))
	}
	defer conn.Close()
	if o.Has('v') {
		fmt.Fprintf(c.Err, "nc: connected to %s\n", conn.RemoteAddr())
	}
	if o.Has('z') {
		return 0, nil
	}
	return 0, ncCopy(c, conn)
}

func ncAddress(o tool.Options, rest []string) (network, address string, err error) {
	switch {
	case o.Has('U') && len(rest) == 1:
		return "unix", rest[0], nil
	case o.Has('l') && o.Has('p') && len(rest) == 0:
		return "tcp", ":" + o['p'], nil
	case o.Has('l') && len(rest) == 1:
		return "tcp", ":" + rest[0], nil
	case len(rest) == 2:
		if _, err := strconv.ParseUint(rest[1], 10, 16); err != nil {
			return "", "", tool.Invalid("invalid port '%s'", rest[1])
		}
		return "tcp", net.JoinHostPort(rest[0], rest[1]), nil
	}
	return "", "", tool.Misuse{}
}

func ncConnect(o tool.Options, network, address string, limit time.Duration) (net.Conn, error) {
	if !o.Has('l') {
		return net.DialTimeout(network, address, limit)
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Accept()
}

// ncCopy ends when the other side does. What it is to send is sent first, unless a person
// types it, who may have no more to say; the end of that only ends the sending.
func ncCopy(c *tool.Call, conn net.Conn) error {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(conn, c.In) // the other side's end is seen below
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}()
	_, err := io.Copy(c.Out, conn)
	if !term.IsTerminal(int(c.In.Fd())) {
		<-sent
	}
	return err
}
