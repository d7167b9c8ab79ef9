package names

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"carob/internal/testenv"
)

// upstream is a server of the outside at an address, with what it does.
type upstream struct {
	port  uint16
	asked atomic.Int64
}

// outside starts servers on addresses of the loopback, all on one port.
func outside(t *testing.T, addresses []string, do func(w dns.ResponseWriter, q *dns.Msg)) *upstream {
	t.Helper()
	u := &upstream{}
	for _, a := range addresses {
		pc, err := net.ListenPacket("udp", net.JoinHostPort(a, strconv.Itoa(int(u.port))))
		if err != nil {
			t.Fatal(err)
		}
		u.port = pc.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		l, err := net.Listen("tcp", net.JoinHostPort(a, strconv.Itoa(int(u.port))))
		if err != nil {
			t.Fatal(err)
		}
		handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { u.asked.Add(1); do(w, q) })
		for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler, UDPSize: 4096}, {Listener: l, Handler: handler}} {
			started, done := make(chan struct{}), make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go func() { defer close(done); _ = s.ActivateAndServe() }()
			<-started
			t.Cleanup(func() { _ = s.Shutdown(); <-done })
		}
	}
	return u
}

// echo answers with one record, or with many for "big.", as it fits.
func echo(w dns.ResponseWriter, q *dns.Msg) {
	r := new(dns.Msg).SetReply(q)
	switch name := q.Question[0].Name; {
	case strings.HasPrefix(name, "missing."):
		r.Rcode = dns.RcodeNameError
	case strings.HasPrefix(name, "big."):
		for i := range 200 {
			rr, _ := dns.NewRR(fmt.Sprintf("%s 60 IN A 192.0.2.%d", name, i))
			r.Answer = append(r.Answer, rr)
		}
	default:
		rr, _ := dns.NewRR(name + " 60 IN A 192.0.2.1")
		r.Answer = append(r.Answer, rr)
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		r.Truncate(room(q))
	}
	_ = w.WriteMsg(r)
}

// open starts a server for the network lan at 127.0.0.1, whose one member asks from there.
func open(t *testing.T, out *upstream, resolv string) (s *Server, at string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte(resolv), 0o600); err != nil {
		t.Fatal(err)
	}
	s = New(Config{Containers: func() map[string][]Container { return nil }, ResolvConf: path, Log: slog.New(slog.DiscardHandler)})
	s.port = 0
	if out != nil {
		s.out.port = out.port
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.join(&member{podID: webID, pod: "web", network: "lan", addresses: ips("127.0.0.1")}, ips("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	return s, s.doors["lan"][0].s.PacketConn.LocalAddr().String()
}

// ask asks a question, from an address if one is given, and returns code and addresses.
func ask(t *testing.T, network, at, name string, size uint16, from string) (string, *dns.Msg) {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	if size > 0 {
		q.SetEdns0(size, false)
	}
	c := dns.Client{Net: network, Timeout: testenv.Patience(10 * time.Second)}
	if from != "" {
		c.Dialer = &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}
	}
	r, _, err := c.Exchange(q, at)
	if err != nil {
		return err.Error(), nil
	}
	return dns.RcodeToString[r.Rcode], r
}

func TestServer(t *testing.T) {
	up := outside(t, []string{"127.0.0.3"}, echo)
	s, at := open(t, up, "nameserver 127.0.0.2\nnameserver 127.0.0.3\n") // nobody listens at the first
	for _, c := range []struct {
		what, network, name string
		size                uint16
		from, code          string
		answers             int
		truncated           bool
	}{
		{"a member", "udp", "web.", 0, "", "NOERROR", 1, false},
		{"a member over TCP", "tcp", "web.lan.", 0, "", "NOERROR", 1, false},
		{"the outside, behind a server that is not there", "udp", "example.org.", 0, "", "NOERROR", 1, false},
		{"a name that is not there", "udp", "missing.example.org.", 0, "", "NXDOMAIN", 0, false},
		{"a large answer, a small asker", "udp", "big.example.org.", 0, "", "NOERROR", -1, true},
		{"a large answer, an asker with room", "udp", "big.example.org.", 4096, "", "NOERROR", 200, false},
		{"a large answer over TCP", "tcp", "big.example.org.", 0, "", "NOERROR", 200, false},
		{"a stranger", "udp", "web.", 0, "127.0.0.9", "REFUSED", 0, false},
		{"a stranger for the outside", "udp", "example.org.", 0, "127.0.0.9", "REFUSED", 0, false},
	} {
		code, r := ask(t, c.network, at, c.name, c.size, c.from)
		if r == nil || code != c.code || c.answers >= 0 && len(r.Answer) != c.answers || r.Truncated != c.truncated {
			t.Errorf("%s: %s %v", c.what, code, r)
		}
	}
	// The host's servers change, and one of them is this very server: a loop.
	if err := os.WriteFile(s.host.path, []byte("nameserver 127.0.0.1\n# longer than before, so that it is read anew\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _ := ask(t, "udp", at, "example.org.", 0, ""); code != "SERVFAIL" {
		t.Errorf("a loop: %s", code)
	}
}

// TestOwnServers: a pod's own servers are asked instead of the host's.
func TestOwnServers(t *testing.T) {
	up := outside(t, []string{"127.0.0.4"}, echo)
	s, at := open(t, up, "nameserver 127.0.0.5\n")
	if err := s.join(&member{podID: webID, pod: "web", network: "lan", addresses: ips("127.0.0.1"), servers: ips("127.0.0.4")}, ips("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if code, r := ask(t, "udp", at, "example.org.", 0, ""); code != "NOERROR" || len(r.Answer) != 1 {
		t.Errorf("%s %v", code, r)
	}
}

// TestWrongAnswers: an answer to another question, none, and nonsense are no answers.
func TestWrongAnswers(t *testing.T) {
	up := outside(t, []string{"127.0.0.6"}, func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		switch q.Question[0].Name {
		case "other.":
			r.Question[0].Name = "bank.example."
			rr, _ := dns.NewRR("bank.example. 60 IN A 192.0.2.66")
			r.Answer = []dns.RR{rr}
		case "question.":
			r.Response = false
		case "garbage.":
			_, _ = w.Write([]byte{q.MsgHdr.String()[0], 1, 2, 3})
			return
		}
		_ = w.WriteMsg(r)
	})
	_, at := open(t, up, "nameserver 127.0.0.6\n")
	for _, name := range []string{"other.", "question."} {
		if code, r := ask(t, "udp", at, name, 0, ""); code != "SERVFAIL" || len(r.Answer) > 0 {
			t.Errorf("%s: %s %v", name, code, r)
		}
	}
	if code, _ := ask(t, "udp", at, "garbage.", 0, ""); code != "SERVFAIL" {
		t.Errorf("garbage: %s", code)
	}
}

// TestBounds: of questions that nobody answers only so many wait; the others, and those of
// others, are answered at once; Close waits for none; nothing is left.
func TestBounds(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("crowd", func(t *testing.T) {
		hold := make(chan struct{})
		up := outside(t, []string{"127.0.0.7"}, func(dns.ResponseWriter, *dns.Msg) { <-hold })
		defer close(hold)
		s, at := open(t, up, "nameserver 127.0.0.7\n")
		if err := s.join(&member{podID: dbID, pod: "db", network: "lan", addresses: ips("127.0.0.8")}, ips("127.0.0.1")); err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(testenv.Patience(10 * time.Second)))
		const more = 10
		for i := range maxPerAsker + more {
			q, err := new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.example.org.", i), dns.TypeA).Pack()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(q); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for range more {
			buf := make([]byte, 512)
			n, err := c.Read(buf)
			var r dns.Msg
			if err != nil || r.Unpack(buf[:n]) != nil || r.Rcode != dns.RcodeServerFailure {
				t.Fatalf("%v, %v", err, r.Rcode)
			}
		}
		if took := time.Since(began); took > testenv.Patience(time.Second) {
			t.Errorf("refused after %v only", took)
		}
		s.crowd.mu.Lock()
		if s.crowd.of[webID] > maxPerAsker {
			t.Errorf("%d wait", s.crowd.of[webID])
		}
		s.crowd.mu.Unlock()
		if code, _ := ask(t, "udp", at, "db.", 0, "127.0.0.8"); code != "NOERROR" {
			t.Errorf("another pod is told %s", code)
		}
		began = time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > testenv.Patience(time.Second) {
			t.Errorf("closing took %v", took)
		}
	})
	end := time.Now().Add(testenv.Patience(5 * time.Second))
	for runtime.NumGoroutine() > before && time.Now().Before(end) {
		runtime.Gosched()
	}
	if now := runtime.NumGoroutine(); now > before {
		buf := make([]byte, 64<<10)
		t.Errorf("%d goroutines before, %d after\n%s", before, now, buf[:runtime.Stack(buf, true)])
	}
}

// TestLeave: with the last member go the listeners, with one of several they stay.
func TestLeave(t *testing.T) {
	s, at := open(t, nil, "")
	if err := s.join(&member{podID: dbID, pod: "db", network: "lan", addresses: ips("127.0.0.8")}, ips("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if err := s.leave(dbID, ""); err != nil {
		t.Error(err)
	}
	if code, _ := ask(t, "udp", at, "web.", 0, ""); code != "NOERROR" {
		t.Error(code)
	}
	if err := s.leave(webID, "other"); err != nil {
		t.Error(err)
	}
	if code, _ := ask(t, "udp", at, "web.", 0, ""); code != "NOERROR" {
		t.Error(code)
	}
	for range 2 {
		if err := s.leave(webID, "lan"); err != nil {
			t.Error(err)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		if code, r := ask(t, network, at, "web.", 0, ""); r != nil {
			t.Errorf("still there: %s", code)
		}
	}
	if len(s.book.members)+len(s.doors) > 0 {
		t.Errorf("%+v %+v", s.book.members, s.doors)
	}
}

// TestLeaveDoesNotWait: a question that no server of the outside answers holds up neither
// the last member's leaving nor who comes to another network meanwhile.
func TestLeaveDoesNotWait(t *testing.T) {
	asked, answer := make(chan struct{}, 9), make(chan struct{})
	defer close(answer)
	s, at := open(t, outside(t, []string{"127.0.0.9", "127.0.0.11", "127.0.0.12"}, func(dns.ResponseWriter, *dns.Msg) { asked <- struct{}{}; <-answer }), "nameserver 127.0.0.9\nnameserver 127.0.0.11\nnameserver 127.0.0.12\n")
	c, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q, err := new(dns.Msg).SetQuestion("example.org.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(q); err != nil {
		t.Fatal(err)
	}
	<-asked
	began := time.Now()
	if err := s.leave(webID, "lan"); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > fullTime/2 {
		t.Errorf("took %v", took)
	}
}

// TestTaken: an address that another server has is an error, and nothing is entered.
func TestTaken(t *testing.T) {
	s, at := open(t, nil, "")
	s.port = netip.MustParseAddrPort(at).Port()
	other, err := net.ListenPacket("udp", "127.0.0.10:"+strconv.Itoa(int(s.port)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = s.join(&member{podID: dbID, pod: "db", network: "dmz", addresses: ips("127.0.0.8")}, ips("127.0.0.10"))
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
	if slices.ContainsFunc(s.book.members, func(m *member) bool { return m.network == "dmz" }) || s.doors["dmz"] != nil {
		t.Error("entered all the same")
	}
}

// TestHostile: whatever comes in is answered or dropped, and the next question is answered.
func TestHostile(t *testing.T) {
	_, at := open(t, nil, "")
	c, err := net.Dial("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	update := new(dns.Msg).SetQuestion("web.", dns.TypeA)
	update.Opcode = dns.OpcodeUpdate
	two := new(dns.Msg).SetQuestion("web.", dns.TypeA)
	two.Question = append(two.Question, two.Question[0])
	reply := new(dns.Msg).SetReply(new(dns.Msg).SetQuestion("web.", dns.TypeA))
	for _, m := range []*dns.Msg{update, two, reply, new(dns.Msg)} {
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range [][]byte{{}, {0}, make([]byte, 12), []byte(strings.Repeat("\xc0", 600)), []byte(strings.Repeat("\x00", 65000))} {
		_, _ = c.Write(b)
	}
	if code, r := ask(t, "udp", at, "web.", 0, ""); code != "NOERROR" || len(r.Answer) != 1 {
		t.Errorf("%s %v", code, r)
	}
}
