package look

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/netip"
	"slices"
	"strings"

	"carob/internal/fault"
)

// Addresses are those of the network namespace that a process is in, without loopback
// and link-local ones: IPv4 first. A namespace without any has none.
func Addresses(h *Host, pid int) ([]netip.Addr, error) {
	var b bytes.Buffer
	if err := h.file(pid, "net/fib_trie", &b); err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	v4, err := ParseTrie(&b)
	if err != nil {
		return nil, err
	}
	b.Reset()
	if err := h.file(pid, "net/if_inet6", &b); err != nil {
		if fault.Is(err, fault.NotFound) { // a kernel without IPv6, or one that has ended
			return v4, nil
		}
		return v4, err
	}
	v6, err := ParseInet6(&b)
	return append(v4, v6...), err
}

// ParseTrie reads the local IPv4 addresses out of /proc/PID/net/fib_trie: those whose
// leaf has a route of 32 bits, scope host and type LOCAL.
func ParseTrie(r io.Reader) ([]netip.Addr, error) {
	all, err := text(r)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	var leaf netip.Addr
	for line := range strings.Lines(string(all)) {
		line = strings.TrimSpace(line)
		if a, ok := strings.CutPrefix(line, "|-- "); ok {
			leaf, _ = netip.ParseAddr(a) // not one: nothing is claimed
		}
		if line == "/32 host LOCAL" && global(leaf) {
			out = append(out, leaf)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// ParseInet6 reads the IPv6 addresses in /proc/PID/net/if_inet6.
func ParseInet6(r io.Reader) ([]netip.Addr, error) {
	all, err := text(r)
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for line := range strings.Lines(string(all)) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if b, err := hex.DecodeString(f[0]); err == nil && len(b) == 16 && global(netip.AddrFrom16([16]byte(b))) {
			out = append(out, netip.AddrFrom16([16]byte(b)))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}

// global reports whether others can reach an address.
func global(a netip.Addr) bool { return a.IsValid() && !a.IsLoopback() && !a.IsLinkLocalUnicast() }
