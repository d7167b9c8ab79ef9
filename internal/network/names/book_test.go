package names

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func ips(texts ...string) (all []netip.Addr) {
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

const (
	webID  = "0123456789abcdef"
	dbID   = "fedcba9876543210"
	soloID = "00000000000000aa"
)

// house has web and db in lan, db also in dmz with one more; web also in the default
// network, which has no names.
func house() book {
	return book{
		members: []*member{
			{podID: webID, pod: "web", network: "lan", addresses: ips("10.1.0.2", "fd01::2"), aliases: []string{"www", "www.example.org"}},
			{podID: webID, pod: "web", network: "default", addresses: ips("10.88.0.2")},
			{podID: dbID, pod: "db", network: "lan", addresses: ips("10.1.0.3"), aliases: []string{"store"}},
			{podID: dbID, pod: "db", network: "DMZ", addresses: ips("10.2.0.3")},
			{podID: soloID, pod: "solo", network: "DMZ", addresses: ips("10.2.0.4")},
			{podID: "11", pod: "lonely", network: "default", addresses: ips("10.88.0.3")},
		},
		containers: func() map[string][]Container {
			return map[string][]Container{webID: {{"c1c1c1c1c1c1c1", "nginx"}, {"c2", "Proxy"}}, dbID: {{"c3", "postgres"}}, soloID: {{"c4", "hidden"}}}
		},
	}
}

func TestBook(t *testing.T) {
	const none = "!"
	for _, c := range []struct {
		asker, name string
		qtype       uint16
		want        string
	}{
		{webID, "db.", dns.TypeA, "10.1.0.3"},
		{webID, "DB.", dns.TypeA, "10.1.0.3"},
		{webID, "db.", dns.TypeAAAA, ""}, // there, but without such an address: not another's question
		{webID, "db.", dns.TypeMX, ""},
		{webID, "db.lan.", dns.TypeA, "10.1.0.3"},
		{webID, "db.LAN.", dns.TypeA, "10.1.0.3"},
		{webID, "db.dmz.", dns.TypeA, none},
		{webID, "db.default.", dns.TypeA, none},
		{webID, "store.", dns.TypeA, "10.1.0.3"},
		{webID, "web.", dns.TypeA, "10.1.0.2"}, // itself
		{dbID, "web.", dns.TypeAAAA, "fd01::2"},
		{dbID, "www.example.org.", dns.TypeA, "10.1.0.2"},
		{dbID, "example.org.", dns.TypeA, none},
		{dbID, "nginx.", dns.TypeA, "10.1.0.2"},
		{dbID, "c1c1c1c1c1c1.", dns.TypeA, "10.1.0.2"},
		{dbID, "c1c1c1c1c1c.", dns.TypeA, none},
		{dbID, "proxy.lan.", dns.TypeA, "10.1.0.2"},
		{dbID, "nginx.example.org.", dns.TypeA, none},
		{dbID, "solo.", dns.TypeA, "10.2.0.4"},
		{dbID, "db.", dns.TypeA, "10.1.0.3 10.2.0.3"},
		{dbID, "db.dmz.", dns.TypeA, "10.2.0.3"},
		{soloID, "web.", dns.TypeA, none},
		{soloID, "nginx.", dns.TypeA, none},
		{webID, "hidden.", dns.TypeA, none},
		{webID, dbID[:12] + ".", dns.TypeA, "10.1.0.3"},
		{webID, dbID + ".", dns.TypeA, "10.1.0.3"},
		{webID, dbID[:11] + ".", dns.TypeA, none},
		{webID, "lonely.", dns.TypeA, none},
		{"11", "web.", dns.TypeA, none},
		{"11", "lonely.", dns.TypeA, none},
		{"", "web.", dns.TypeA, none},
		{webID, ".", dns.TypeA, none},
		{webID, "3.0.1.10.in-addr.arpa.", dns.TypePTR, "db.lan."},
		{dbID, "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa.", dns.TypePTR, "web.lan."},
		{webID, "4.0.2.10.in-addr.arpa.", dns.TypePTR, none},
		{webID, "2.0.88.10.in-addr.arpa.", dns.TypePTR, none},
	} {
		b := house()
		answers, known := b.answer(c.asker, dns.Question{Name: c.name, Qtype: c.qtype, Qclass: dns.ClassINET})
		var parts []string
		for _, rr := range answers {
			switch rr := rr.(type) {
			case *dns.A:
				parts = append(parts, rr.A.String())
			case *dns.AAAA:
				parts = append(parts, rr.AAAA.String())
			case *dns.PTR:
				parts = append(parts, rr.Ptr)
			}
		}
		slices.Sort(parts)
		got := strings.Join(parts, " ")
		if !known {
			got = none
		}
		if got != c.want {
			t.Errorf("%.4s asks for %s %s: %q, want %q", c.asker, dns.TypeToString[c.qtype], c.name, got, c.want)
		}
	}
	b := house()
	if _, known := b.answer(webID, dns.Question{Name: "db.", Qtype: dns.TypeA, Qclass: dns.ClassCHAOS}); known {
		t.Error("a question of another class")
	}
	if m := b.asker("lan", netip.MustParseAddr("10.2.0.3")); m != nil {
		t.Errorf("an address of another network is %+v", m)
	}
	if m := b.asker("lan", netip.MustParseAddr("fd01::2")); m == nil || m.pod != "web" {
		t.Errorf("%+v", m)
	}
}

func FuzzBook(f *testing.F) {
	f.Add("db.lan.", uint16(1))
	f.Add("2.0.1.10.in-addr.arpa.", uint16(12))
	f.Fuzz(func(t *testing.T, name string, qtype uint16) {
		b := house()
		answers, known := b.answer(soloID, dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET})
		if len(answers) > 0 && !known {
			t.Error("an answer of nobody")
		}
		for _, rr := range answers {
			if a, ok := rr.(*dns.A); ok && !strings.HasPrefix(a.A.String(), "10.2.") {
				t.Errorf("%q shows %v to who is not in its network", name, rr)
			}
		}
	})
}

// BenchmarkBook is one question among 1000 pods with one network.
func BenchmarkBook(b *testing.B) {
	crowd := book{containers: func() map[string][]Container { return nil }}
	for i := range 1000 {
		crowd.members = append(crowd.members, &member{
			podID: fmt.Sprintf("%016x", i), pod: fmt.Sprintf("pod-%d", i), network: "lan",
			addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})},
		})
	}
	for b.Loop() {
		m := crowd.asker("lan", netip.AddrFrom4([4]byte{10, 1, 3, 231}))
		if m == nil {
			b.Fatal("nobody")
		}
		if _, known := crowd.answer(m.podID, dns.Question{Name: "pod-999.", Qtype: dns.TypeA, Qclass: dns.ClassINET}); !known {
			b.Fatal("not found")
		}
	}
}

func TestReverse(t *testing.T) {
	for _, ip := range []string{"10.1.0.2", "255.0.0.1", "fd01::2", "2001:db8:1:2:3:4:5:6"} {
		name, err := dns.ReverseAddr(ip)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := forwards(strings.TrimSuffix(name, ".")); !ok || got.String() != ip {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
	for _, name := range []string{"", ".in-addr.arpa", "1.in-addr.arpa", "1.2.3.4.5.in-addr.arpa", "01.2.3.4.in-addr.arpa", "256.1.1.1.in-addr.arpa",
		"x.ip6.arpa", strings.Repeat("1.", 31) + "ip6.arpa", strings.Repeat("1.", 31) + "11.ip6.arpa", strings.Repeat("g.", 31) + "g.ip6.arpa"} {
		if ip, ok := forwards(name); ok {
			t.Errorf("%q is %v", name, ip)
		}
	}
}
