package address

import (
	"net/netip"
	"testing"

	"carob/internal/fault"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestPools(t *testing.T) {
	got, err := Pools([]string{"10.0.0.0/8", "fd00::/48"})
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range [][]string{{"10.0.0.0"}, {"10.0.0.1/8"}, {"10.0.0.0/30"}, {"10.0.0.0/8", "11.0.0.0/8"}, {"fd00::/121"}, {""}} {
		if _, err := Pools(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	a, b := DefaultPool6("one"), DefaultPool6("two")
	if a == b || a != DefaultPool6("one") || !prefix("fd00::/8").Contains(a.Addr()) || a.Bits() != 48 || a.Masked() != a {
		t.Errorf("%v %v", a, b)
	}
}

func TestSubnet(t *testing.T) {
	pool := prefix("10.176.0.0/12")
	for _, c := range []struct {
		name  string
		pool  string
		n     uint32
		taken []string
		want  string
	}{
		{"first", "10.176.0.0/12", 0, nil, "10.176.0.0/20"},
		{"nth", "10.176.0.0/12", 17, nil, "10.177.16.0/20"},
		{"nth goes round", "10.176.0.0/12", 256 + 2, nil, "10.176.32.0/20"},
		{"a route in it", "10.176.0.0/12", 0, []string{"10.176.3.0/24"}, "10.176.16.0/20"},
		{"a route over it", "10.176.0.0/12", 0, []string{"10.176.0.0/14"}, "10.180.0.0/20"},
		{"an address of the host", "10.176.0.0/12", 255, []string{"10.191.255.7/32"}, "10.176.0.0/20"},
		{"small pool", "192.168.7.0/24", 9, nil, "192.168.7.0/24"},
		{"six", "fd12:3456:789a::/48", 5, []string{"fd12:3456:789a:5::/64", "10.0.0.0/8"}, "fd12:3456:789a:6::/64"},
	} {
		var taken []netip.Prefix
		for _, s := range c.taken {
			taken = append(taken, prefix(s))
		}
		if got, err := Subnet(prefix(c.pool), c.n, taken); err != nil || got != prefix(c.want) {
			t.Errorf("%s: %v, %v; want %s", c.name, got, err, c.want)
		}
	}
	if _, err := Subnet(pool, 3, []netip.Prefix{prefix("10.0.0.0/8")}); !fault.Is(err, fault.Conflict) {
		t.Errorf("nothing free: %v", err)
	}
}

func TestCheckSubnets(t *testing.T) {
	for _, good := range [][]string{{"10.0.0.0/24"}, {"fd00::/64", "10.0.0.0/29"}, nil} {
		var all []netip.Prefix
		for _, s := range good {
			all = append(all, prefix(s))
		}
		if err := CheckSubnets(all); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][]string{{"10.0.0.1/24"}, {"10.0.0.0/30"}, {"127.0.0.0/24"}, {"224.0.0.0/8"}, {"fe80::/64"}, {"10.0.0.0/24", "10.1.0.0/24"}, {"0.0.0.0/0"}} {
		var all []netip.Prefix
		for _, s := range bad {
			all = append(all, prefix(s))
		}
		if err := CheckSubnets(all); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestRange: everything is given out once, never the gateway, the network or broadcast,
// and what was released comes last.
func TestRange(t *testing.T) {
	r := NewRange(prefix("10.0.0.0/29"))
	seen := map[netip.Addr]bool{}
	for range 5 {
		ip, err := r.Take()
		if err != nil || seen[ip] || ip == Gateway(r.Subnet()) || ip == netip.MustParseAddr("10.0.0.0") || ip == netip.MustParseAddr("10.0.0.7") {
			t.Fatalf("%v, %v after %v", ip, err, seen)
		}
		seen[ip] = true
	}
	if ip, err := r.Take(); !fault.Is(err, fault.Conflict) {
		t.Errorf("%v, %v", ip, err)
	}
	three, two := netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.2")
	r.Release(three)
	r.Release(two)
	if err := r.Claim(two); err != nil {
		t.Error(err)
	}
	if err := r.Claim(two); !fault.Is(err, fault.Exists) {
		t.Errorf("twice: %v", err)
	}
	if ip, err := r.Take(); ip != three || err != nil {
		t.Errorf("%v, %v", ip, err)
	}
	for _, bad := range []string{"10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.1.2", "fd00::2"} {
		if err := r.Claim(netip.MustParseAddr(bad)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}

	r = NewRange(prefix("10.0.0.0/24"))
	first, _ := r.Take()
	r.Release(first)
	if next, _ := r.Take(); next == first {
		t.Errorf("%v at once again", first)
	}
	six, err := NewRange(prefix("fd00::/64")).Take()
	if err != nil || six != netip.MustParseAddr("fd00::2") {
		t.Errorf("%v, %v", six, err)
	}
}

func TestMAC(t *testing.T) {
	for s, want := range map[string]bool{
		"02:00:00:00:00:01": true, "FE:aB:00:00:00:01": true, "01:00:00:00:00:01": false, "02:00:00:00:00": false,
		"02:00:00:00:00:01:02": false, "02-00-00-00-00-01": false, "": false, "02:00:00:00:00:0g": false, "0200:0:00:00:00:1": false,
	} {
		if MAC(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}
