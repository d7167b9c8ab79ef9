package names

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"carob/internal/fault"
	"carob/internal/plan/etc"
)

const (
	// tryTime is how long one server may take, fullTime all of them: what glibc waits for
	// is 5 s.
	tryTime  = 2 * time.Second
	fullTime = 4500 * time.Millisecond
	// maxForwards bounds the questions under way, maxPerAsker those of one pod.
	maxForwards = 512
	maxPerAsker = 64
	// maxUDP is the largest answer taken over UDP, in bytes.
	maxUDP = 4096
)

// hostServers are the servers of the host's resolv.conf, read when it has changed.
type hostServers struct {
	path string

	mu      sync.Mutex
	read    time.Time
	size    int64
	servers []netip.Addr
}

func (h *hostServers) now() []netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	st, err := os.Stat(h.path)
	if err != nil {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} // what resolv.conf(5) says of a file that is not there
	}
	if st.ModTime().Equal(h.read) && st.Size() == h.size {
		return h.servers
	}
	text, err := os.ReadFile(h.path)
	if err != nil {
		return h.servers
	}
	h.read, h.size, h.servers = st.ModTime(), st.Size(), nil
	for _, s := range etc.Nameservers(string(text)) {
		if ip, err := netip.ParseAddr(s); err == nil {
			h.servers = append(h.servers, ip)
		}
	}
	return h.servers
}

// crowd bounds how many questions are forwarded at a time.
type crowd struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// enter reports whether there is room for one more of an asker's; leave makes room.
func (c *crowd) enter(asker string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxForwards || c.of[asker] >= maxPerAsker {
		return false
	}
	c.all++
	c.of[asker]++
	return true
}

func (c *crowd) leave(asker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[asker]--; c.of[asker] == 0 {
		delete(c.of, asker)
	}
}

// forwarder asks other servers.
type forwarder struct {
	port   uint16
	dialer net.Dialer
}

// ask asks the servers one after the other until one answers. "No such name" is an answer,
// a server's failure is one only if no other has a better one.
func (f *forwarder) ask(ctx context.Context, question *dns.Msg, servers []netip.Addr) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, fullTime)
	defer cancel()
	m := question.Copy()
	m.Id = dns.Id()
	var last *dns.Msg
	var errs []error
	for _, s := range servers {
		r, err := f.askOne(ctx, m, netip.AddrPortFrom(s, f.port))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.Id = question.Id
		if r.Rcode != dns.RcodeServerFailure && r.Rcode != dns.RcodeRefused {
			return r, nil
		}
		last = r
	}
	if last != nil {
		return last, nil
	}
	return nil, errors.Join(append(errs, fault.New(fault.Unavailable, "no server answers"))...)
}

// askOne asks one server, again over TCP when the answer does not fit into a datagram.
func (f *forwarder) askOne(ctx context.Context, m *dns.Msg, server netip.AddrPort) (*dns.Msg, error) {
	r, err := f.exchange(ctx, "udp", m, server)
	if err == nil && r.Truncated {
		if whole, err := f.exchange(ctx, "tcp", m, server); err == nil {
			return whole, nil
		}
	}
	return r, err
}

func (f *forwarder) exchange(ctx context.Context, network string, m *dns.Msg, server netip.AddrPort) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	c, err := f.dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // the answer has been read
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	client := dns.Client{Net: network, Timeout: tryTime, UDPSize: maxUDP}
	r, _, err := client.ExchangeWithConnContext(ctx, m, &dns.Conn{Conn: c, UDPSize: maxUDP})
	if err != nil {
		return nil, err
	}
	if !answers(r, m) {
		return nil, fault.New(fault.Internal, server.String()+": answers another question")
	}
	return r, nil
}

// answers reports whether r is an answer to m's question.
func answers(r, m *dns.Msg) bool {
	return r.Response && slices.EqualFunc(r.Question, m.Question, func(a, b dns.Question) bool {
		return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
	})
}
