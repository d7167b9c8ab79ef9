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

// book is who is in which network: pure, and not safe for concurrent use.
type book struct {
	members []member
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

// asker is the member with an address in a network.
func (b *book) asker(network string, from netip.Addr) (member, bool) {
	for _, m := range b.members {
		if m.network == network && slices.Contains(m.addresses, from) {
			return m, true
		}
	}
	return member{}, false
}

// seen are the members that a pod sees: those of all its networks that have names.
func (b *book) seen(podID string) (all []member) {
	if podID == "" {
		return nil
	}
	var mine []string
	for _, m := range b.members {
		if m.podID == podID && m.network != network.Default {
			mine = append(mine, m.network)
		}
	}
	for _, m := range b.members {
		if slices.Contains(mine, m.network) {
			all = append(all, m)
		}
	}
	return all
}

// answer answers a question of a pod. known is false when the name is none of a member
// that the pod sees.
func (b *book) answer(podID string, q dns.Question) (answers []dns.RR, known bool) {
	seen := b.seen(podID)
	if len(seen) == 0 || q.Qclass != dns.ClassINET {
		return nil, false
	}
	name := strings.ToLower(strings.TrimSuffix(q.Name, "."))
	if q.Qtype == dns.TypePTR {
		return pointers(seen, name, q)
	}
	found := b.find(seen, name)
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
func (b *book) find(seen []member, name string) []member {
	host, suffix, qualified := strings.Cut(name, ".")
	if qualified && !slices.ContainsFunc(seen, func(m member) bool { return strings.ToLower(m.network) == suffix }) {
		host = name // an alias may have dots
	}
	here := func(m member) bool { return host == name || strings.ToLower(m.network) == suffix }
	found := pick(seen, func(m member) bool { return here(m) && m.called(host) })
	if len(found) > 0 || strings.Contains(host, ".") {
		return found
	}
	of := b.containers()
	return pick(seen, func(m member) bool {
		return here(m) && slices.ContainsFunc(of[m.podID], func(c Container) bool { return c.called(host) })
	})
}

func pick(all []member, fits func(member) bool) (some []member) {
	for _, m := range all {
		if fits(m) {
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
func pointers(seen []member, name string, q dns.Question) (answers []dns.RR, known bool) {
	for _, m := range seen {
		for _, ip := range m.addresses {
			reverse, err := dns.ReverseAddr(ip.String())
			if err != nil || strings.TrimSuffix(reverse, ".") != name {
				continue
			}
			to := dns.Fqdn(m.pod + "." + m.network)
			if _, ok := dns.IsDomainName(to); ok {
				answers = append(answers, &dns.PTR{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET}, Ptr: to})
			}
			known = true
		}
	}
	return answers, known
}
