package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// A lab is a host with a network of its own and somebody outside, made of two network
// namespaces with a link between them. Whatever carob does to its host, it does here.
type lab struct {
	*host
	here, outside int // processes that hold the namespaces
	first         string
}

// Addresses in the lab.
const (
	here4, outside4 = "198.18.7.1", "198.18.7.2"
	here6, outside6 = "fd18:7::1", "fd18:7::2"
)

func newLab(t *testing.T) *lab {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Network)
	l := &lab{here: holdNetwork(t), outside: holdNetwork(t)}
	l.host = startOwn(t) // after the namespaces: it ends before them
	l.within = []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", l.here)}
	for _, words := range []string{
		"sysctl -q -w net.ipv4.conf.all.rp_filter=1", // strict: the harder case
		"ip link set lo up", fmt.Sprintf("ip link add up0 mtu 1420 type veth peer name up0 netns /proc/%d/ns/net mtu 1420", l.outside),
		"ip addr add " + here4 + "/24 dev up0", "ip addr add " + here6 + "/64 dev up0 nodad", "ip link set up0 up",
	} {
		l.inside(l.here, words)
	}
	for _, words := range []string{
		"ip link set lo up", "ip addr add " + outside4 + "/24 dev up0", "ip addr add " + outside6 + "/64 dev up0 nodad", "ip link set up0 up",
	} {
		l.inside(l.outside, words)
	}
	l.inside(l.here, "ip route add default via "+outside4)
	l.inside(l.here, "ip -6 route add default via "+outside6)
	l.eventually("the link is ready", func() bool {
		out := l.inside(l.here, "ip addr show dev up0")
		return strings.Contains(out, "inet6 fe80") && !strings.Contains(out, "tentative") && !strings.Contains(out, "NO-CARRIER")
	})
	l.first = l.state()
	return l
}

// holdNetwork starts a process that holds a network namespace until the test ends.
func holdNetwork(t *testing.T) int {
	t.Helper()
	c := exec.Command("cat")
	if _, err := c.StdinPipe(); err != nil { // its end is this process's at the latest
		t.Fatal(err)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c.Process.Pid
}

// inside runs a command in a namespace and returns its output.
func (l *lab) inside(pid int, command string) string {
	l.Helper()
	words := append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", pid)}, strings.Fields(command)...)
	out, err := exec.Command("nsenter", words...).CombinedOutput()
	if err != nil {
		l.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// state is all of the lab's host that carob could have changed.
func (l *lab) state() string {
	var b strings.Builder
	for _, command := range []string{
		"ip -o link", "ip -o addr", "ip route", "ip -6 route show table main", "ip rule",
		"sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.up0.accept_ra net.ipv4.conf.all.route_localnet net.ipv4.conf.all.rp_filter",
	} {
		b.WriteString(l.inside(l.here, command))
	}
	fmt.Fprintln(&b, "tables:", l.tables())
	return b.String()
}

// nft uses nftables in the lab's host.
func (l *lab) nft(use func(*nftables.Conn) error) {
	l.Helper()
	err := enter(l.here, func() error {
		c, err := nftables.New()
		if err == nil {
			err = use(c)
		}
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
}

// tables lists the tables of nftables, each with its chains and how many rules those
// have.
func (l *lab) tables() (out []string) {
	l.Helper()
	l.nft(func(c *nftables.Conn) error {
		chains, err := c.ListChains()
		for _, one := range chains {
			rules, missing := c.GetRules(one.Table, one)
			err = errors.Join(err, missing)
			out = append(out, fmt.Sprintf("%s %s %d", one.Table.Name, one.Name, len(rules)))
		}
		return err
	})
	slices.Sort(out)
	return out
}

// enter runs f on a thread in a process's network namespace. Sockets that f makes stay
// there. The thread ends with it; the main thread, which cannot, leaves it to another,
// or /proc/self would be in that namespace from then on.
func enter(pid int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		if unix.Gettid() == os.Getpid() {
			err := enter(pid, f)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			_ = ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// dial connects from a namespace.
func dial(pid int, network, address string) (c net.Conn, err error) {
	return dialFor(testenv.Patience(5*time.Second), pid, network, address)
}

func dialFor(most time.Duration, pid int, network, address string) (c net.Conn, err error) {
	d := net.Dialer{Timeout: most}
	err = enter(pid, func() (err error) { c, err = d.Dial(network, address); return err })
	return c, err
}

// echo answers on a TCP port of a namespace with the client's address, and then with
// whatever comes.
func (l *lab) echo(pid, port int) {
	l.Helper()
	var listener net.Listener
	err := enter(pid, func() (err error) { listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); return err })
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintln(c, from)
				// Not splice(2): package net keeps a pipe for each connection, and a user may
				// have no more than so many (pipe(7)).
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			}()
		}
	}()
}

// ask connects, and returns the address that the other side saw; "" when nobody answers.
func ask(pid int, address string) string {
	c, err := dial(pid, "tcp", address)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testenv.Patience(3 * time.Second)))
	from, _ := line(c)
	return from
}

// wantFrom checks who the other side thinks is there; "" is nobody, "*" anybody.
func (l *lab) wantFrom(what string, pid int, address, want string) {
	l.Helper()
	if want == "" { // packets are dropped: no need to wait long for nothing
		if c, err := dialFor(500*time.Millisecond, pid, "tcp", address); err == nil {
			_ = c.Close()
			l.Errorf("%s (%s): is answered", what, address)
		}
		return
	}
	if got := ask(pid, address); got != want && (want != "*" || got == "") {
		l.Errorf("%s (%s): the other side sees %q, want %q", what, address, got, want)
	}
}

// copies sends n bytes there and back and compares.
func copies(pid int, address string, n int) error {
	c, err := dial(pid, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := line(c); err != nil {
		return err
	}
	piece := bytes.Repeat([]byte("carob pod \n"), 6000)
	sent := make(chan error, 1)
	go func() {
		for i := 0; i < n; i += len(piece) {
			if _, err := c.Write(piece); err != nil {
				sent <- err
				return
			}
		}
		sent <- c.(*net.TCPConn).CloseWrite()
	}()
	back := make([]byte, len(piece))
	for i := 0; i < n; i += len(piece) {
		if _, err := io.ReadFull(c, back); err != nil {
			return fmt.Errorf("after %d bytes: %w", i, err)
		}
		if !bytes.Equal(back, piece) {
			return fmt.Errorf("after %d bytes: something else came back", i)
		}
	}
	return <-sent
}

// ips returns a container's addresses in a network, IPv4 first.
func (l *lab) ips(network, name string) (v4, v6 string) {
	l.Helper()
	out := l.ok("network", "inspect", network)
	_, out, found := strings.Cut(out, fmt.Sprintf("%q: %q", "pod", name))
	if !found {
		l.Fatalf("%s is not in network %s", name, network)
	}
	out, _, _ = strings.Cut(out, "]")
	for _, word := range strings.Fields(out) {
		ip := net.ParseIP(strings.Trim(word, `",`))
		switch {
		case ip == nil:
		case ip.To4() != nil:
			v4 = ip.String()
		default:
			v6 = ip.String()
		}
	}
	return v4, v6
}

// stop ends the daemon and waits until it is gone.
func (l *lab) stop(signal syscall.Signal) {
	l.Helper()
	pid := l.daemon()
	if pid <= 0 {
		l.Fatal("no daemon")
	}
	_ = syscall.Kill(pid, signal)
	l.eventually("the daemon is gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
}
