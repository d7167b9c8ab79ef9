package names

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"

	"carob/internal/fault"
	"carob/internal/sys/listen"
)

const (
	// maxConnections bounds TCP connections to one gateway address.
	maxConnections = 128
	// idleTime is how long a connection may say nothing.
	idleTime = 5 * time.Second
	// shutTime bounds the end of a listener.
	shutTime = fullTime + time.Second
	// safeUDP is the largest datagram that needs no fragments anywhere, in bytes.
	safeUDP = 1232
)

// Config is what a Server works with.
type Config struct {
	// Containers returns all containers by the ID of their pod.
	Containers func() map[string][]Container
	// ResolvConf is the host's resolv.conf.
	ResolvConf string
	Log        *slog.Logger
}

// Server answers pods' questions. The caller closes it.
type Server struct {
	c      Config
	port   uint16
	host   hostServers
	out    forwarder
	crowd  crowd
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	// turn orders the opening and closing of listeners. It is held across both.
	turn sync.Mutex

	// mu guards what follows and is held for map access only.
	mu    sync.Mutex
	book  book
	doors map[string][]*door // by network
}

// door is one listener.
type door struct {
	at     netip.Addr
	s      *dns.Server
	cancel context.CancelFunc // of the questions that came in
	done   chan struct{}
}

// domain is the port of DNS.
const domain = 53

// New returns a server that listens nowhere yet.
func New(c Config) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		c: c, port: domain, host: hostServers{path: c.ResolvConf}, out: forwarder{port: domain}, crowd: crowd{of: map[string]int{}},
		ctx: ctx, cancel: cancel, book: book{containers: c.Containers}, doors: map[string][]*door{},
	}
}

// Close ends all listeners and every question under way, and waits for them.
func (s *Server) Close() error {
	s.cancel()
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.doors))
	s.mu.Unlock()
	var errs []error
	for _, n := range names {
		errs = append(errs, s.shut(n))
	}
	return errors.Join(errs...)
}

// join enters a member, and listens on the gateways of its network if nobody does.
func (s *Server) join(m *member, gateways []netip.Addr) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err := s.open(m.network, gateways); err != nil {
		return fmt.Errorf("names: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.members = append(s.strike(m.podID, m.network), m)
	return nil
}

// leave strikes a pod out of one network or, for "", all; where nobody is left it ends
// the listeners.
func (s *Server) leave(podID, network string) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	s.book.members = s.strike(podID, network)
	var empty []string
	for n := range s.doors {
		if !slices.ContainsFunc(s.book.members, func(m *member) bool { return m.network == n }) {
			empty = append(empty, n)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, n := range empty {
		errs = append(errs, s.shut(n))
	}
	return errors.Join(errs...)
}

// strike returns the members without a pod's part in a network. The caller holds mu.
func (s *Server) strike(podID, network string) []*member {
	return slices.DeleteFunc(slices.Clone(s.book.members), func(m *member) bool {
		return m.podID == podID && (network == "" || m.network == network)
	})
}

// open listens on a network's gateways. The caller holds turn.
func (s *Server) open(network string, gateways []netip.Addr) (err error) {
	s.mu.Lock()
	have := s.doors[network]
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		return fault.New(fault.Unavailable, "the daemon ends")
	}
	defer func() {
		s.mu.Lock()
		s.doors[network] = have
		s.mu.Unlock()
		if err != nil {
			err = errors.Join(err, s.shut(network))
		}
	}()
	for _, at := range gateways {
		if slices.ContainsFunc(have, func(d *door) bool { return d.at == at }) {
			continue
		}
		udp, err := listen.UDP(s.ctx, netip.AddrPortFrom(at, s.port))
		if err != nil {
			return err
		}
		port := udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		have = append(have, s.start(network, at, &dns.Server{PacketConn: udp, UDPSize: safeUDP}))
		tcp, err := listen.TCP(s.ctx, netip.AddrPortFrom(at, port))
		if err != nil { // large answers only: another server's socket on all addresses keeps it
			s.c.Log.Warn("names: no TCP", "network", network, "cause", err)
			continue
		}
		have = append(have, s.start(network, at, &dns.Server{Listener: netutil.LimitListener(tcp, maxConnections)}))
	}
	return nil
}

// start serves a listener until shut.
func (s *Server) start(network string, at netip.Addr, srv *dns.Server) *door {
	ctx, cancel := context.WithCancel(s.ctx)
	d := &door{at: at, s: srv, cancel: cancel, done: make(chan struct{})}
	started := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	srv.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.serve(ctx, network, w, q) })
	srv.ReadTimeout, srv.WriteTimeout = tryTime, tryTime
	srv.IdleTimeout = func() time.Duration { return idleTime }
	go func() {
		defer close(d.done)
		if err := srv.ActivateAndServe(); err != nil && s.ctx.Err() == nil {
			s.c.Log.Error("names: listener", "network", network, "address", at.String(), "cause", err)
		}
	}()
	select {
	case <-started:
	case <-d.done:
	}
	return d
}

// shut ends a network's listeners, with the questions under way: nobody is left who asked
// them. The caller holds turn.
func (s *Server) shut(network string) error {
	s.mu.Lock()
	doors := s.doors[network]
	delete(s.doors, network)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), shutTime)
	defer cancel()
	var errs []error
	for _, d := range doors {
		d.cancel()
		errs = append(errs, d.s.ShutdownContext(ctx))
		<-d.done
	}
	return errors.Join(errs...)
}

// serve answers one question.
func (s *Server) serve(ctx context.Context, network string, w dns.ResponseWriter, q *dns.Msg) {
	r := s.reply(ctx, network, source(w.RemoteAddr()), q)
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		r.Truncate(room(q))
	}
	_ = w.WriteMsg(r) // whoever asked has gone, or asks again
}

// room is how large a datagram the asker takes.
func room(q *dns.Msg) int {
	if opt := q.IsEdns0(); opt != nil {
		return max(dns.MinMsgSize, min(int(opt.UDPSize()), maxUDP))
	}
	return dns.MinMsgSize
}

func source(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap()
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (s *Server) reply(ctx context.Context, network string, from netip.Addr, q *dns.Msg) *dns.Msg {
	r := new(dns.Msg)
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 || q.Response {
		return r.SetRcode(q, dns.RcodeNotImplemented)
	}
	s.mu.Lock()
	book := s.book
	s.mu.Unlock()
	asker := book.asker(network, from)
	if asker == nil {
		return r.SetRcode(q, dns.RcodeRefused)
	}
	if answers, known := book.answer(asker.podID, q.Question[0]); known {
		r.SetReply(q)
		r.Authoritative, r.RecursionAvailable = true, true
		rand.Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
		r.Answer = answers
		if opt := q.IsEdns0(); opt != nil {
			r.SetEdns0(safeUDP, opt.Do())
		}
		return r
	}
	return s.forward(ctx, asker, q)
}

// forward asks others in the pod's name.
func (s *Server) forward(ctx context.Context, asker *member, q *dns.Msg) *dns.Msg {
	if !s.crowd.enter(asker.podID) {
		return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
	defer s.crowd.leave(asker.podID)
	servers := asker.servers
	if len(servers) == 0 {
		servers = s.host.now()
	}
	r, err := s.out.ask(ctx, q, slices.DeleteFunc(slices.Clone(servers), s.mine))
	if err != nil {
		s.c.Log.Debug("names: forward", "pod", asker.podID, "cause", err)
		return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
	return r
}

// mine reports whether this server listens on an address: to ask it would be a loop.
func (s *Server) mine(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, doors := range s.doors {
		if slices.ContainsFunc(doors, func(d *door) bool { return d.at == ip }) {
			return true
		}
	}
	return false
}
