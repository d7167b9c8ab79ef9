package names

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"carob/internal/network"
)

// shortID is how many digits of an ID are a name at least, as Docker has it.
const shortID = 12

// member is a pod's part in a network.
type member struct {
	podID, pod string
	network    string
	addresses  []netip.Addr
	aliases    []string
	// servers are those the pod asked for; the host's are asked when there are none.
	servers []netip.Addr
}

// book is who is in which network: pure, and not safe for concurrent use. What it has is
// replaced, never changed.
type book struct {
	members []*member
	// containers are those of all pods, by pod ID.
	containers func() map[string][]Container
}

// Container is what a container is called.
type Container struct{ ID, Name string }

func (c Container) called(name string) bool {
	return strings.EqualFold(c.Name, name) || begins(c.ID, name)
}

// begins reports whether a name is the beginning of an ID, long enough to be one.
func begins(id, name string) bool { return len(name) >= shortID && strings.HasPrefix(id, name) }

// asker is the member with an address in a network, nil when it is nobody's.
func (b *book) asker(network string, from netip.Addr) *member {
	for _, m := range b.members {
		if m.network == network && slices.Contains(m.addresses, from) {
			return m
		}
	}
	return nil
}

// view are the names of networks whose members a pod sees: all that it is in and that have
// names.
func (b *book) view(podID string) (networks []string) {
	for _, m := range b.members {
		if m.podID == podID && m.network != network.Default {
			networks = append(networks, m.network)
		}
	}
	return networks
}

// answer answers a question of a pod. known is false when the name is none of a member
// that the pod sees.
func (b *book) answer(podID string, q dns.Question) (answers []dns.RR, known bool) {
	networks := b.view(podID)
	if len(networks) == 0 || q.Qclass != dns.ClassINET {
		return nil, false
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if q.Qtype == dns.TypePTR {
		return b.pointers(networks, name, q)
	}
	found := b.find(networks, name)
	for _, m := range found {
		for _, ip := range m.addresses {
			if rr := record(q, ip); rr != nil {
				answers = append(answers, rr)
			}
		}
	}
	return answers, len(found) > 0
}

// find returns the members that a name means. Containers are looked through only for a
// name that can be one of theirs: what is for the outside has a dot and no network.
func (b *book) find(networks []string, name string) []*member {
	host := name
	if first, suffix, qualified := strings.Cut(name, "."); qualified {
		i := slices.IndexFunc(networks, func(n string) bool { return strings.EqualFold(n, suffix) })
		if i >= 0 { // else it may be an alias with dots
			host, networks = first, networks[i:i+1]
		}
	}
	found := b.pick(networks, func(m *member) bool { return m.called(host) })
	if len(found) > 0 || strings.Contains(host, ".") {
		return found
	}
	of := b.containers()
	return b.pick(networks, func(m *member) bool {
		return slices.ContainsFunc(of[m.podID], func(c Container) bool { return c.called(host) })
	})
}

func (b *book) pick(networks []string, fits func(*member) bool) (some []*member) {
	for _, m := range b.members {
		if slices.Contains(networks, m.network) && fits(m) {
			some = append(some, m)
		}
	}
	return some
}

// called reports whether a name, in lower case, is one of the member's own.
func (m *member) called(name string) bool {
	if strings.EqualFold(m.pod, name) || begins(m.podID, name) {
		return true
	}
	return slices.ContainsFunc(m.aliases, func(a string) bool { return strings.EqualFold(a, name) })
}

// record is an address's answer to a question, nil when it is of another type.
func record(q dns.Question, ip netip.Addr) dns.RR {
	h := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET} // TTL 0: the next pod may have another
	switch {
	case q.Qtype == dns.TypeA && ip.Is4():
		return &dns.A{Hdr: h, A: ip.AsSlice()}
	case q.Qtype == dns.TypeAAAA && ip.Is6():
		return &dns.AAAA{Hdr: h, AAAA: ip.AsSlice()}
	}
	return nil
}

// pointers answers a reverse question with names that can be asked for.
func (b *book) pointers(networks []string, name string, q dns.Question) (answers []dns.RR, known bool) {
	ip, ok := forwards(name)
	if !ok {
		return nil, false
	}
	for _, m := range b.pick(networks, func(m *member) bool { return slices.Contains(m.addresses, ip) }) {
		known = true
		to := dns.Fqdn(m.pod + "." + m.network)
		if _, ok := dns.IsDomainName(to); ok {
			answers = append(answers, &dns.PTR{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET}, Ptr: to})
		}
	}
	return answers, known
}

// forwards is the address of a reverse name (RFC 1035 section 3.5, RFC 3596 section 2.5).
func forwards(name string) (netip.Addr, bool) {
	labels, v4 := strings.CutSuffix(name, ".in-addr.arpa")
	sep, want := ".", 4
	if !v4 {
		var v6 bool
		if labels, v6 = strings.CutSuffix(name, ".ip6.arpa"); !v6 {
			return netip.Addr{}, false
		}
		sep, want = "", 32
	}
	parts := strings.Split(labels, ".")
	if len(parts) != want {
		return netip.Addr{}, false
	}
	slices.Reverse(parts)
	text := strings.Join(parts, sep)
	if !v4 {
		if len(text) != want {
			return netip.Addr{}, false
		}
		var groups []string
		for i := 0; i < want; i += 4 {
			groups = append(groups, text[i:i+4])
		}
		text = strings.Join(groups, ":")
	}
	ip, err := netip.ParseAddr(text)
	return ip, err == nil
}
