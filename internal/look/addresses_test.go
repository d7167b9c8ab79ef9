package look

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.244.0.0/16 2 0 2
        |-- 10.244.0.0
           /16 link UNICAST
        |-- 10.244.0.5
           /32 host LOCAL
        |-- 10.244.255.255
           /32 link BROADCAST
Local:
  +-- 127.0.0.0/8 2 0 2
     |-- 127.0.0.1
        /32 host LOCAL
  |-- 10.244.0.5
     /32 host LOCAL
  |-- 169.254.1.1
     /32 host LOCAL
  |-- 10.0.0.300
     /32 host LOCAL
  |-- 10.0.0.9
     /32 host LOCAL
`

const inet6 = `00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000a8bbccfffeddee01 02 40 20 80     eth0
fd000000000000000000000000000017 02 40 00 80     eth0
fd00 02 40 00 80     eth0
`

func TestAddresses(t *testing.T) {
	v4, err := ParseTrie(strings.NewReader(trie))
	if err != nil {
		t.Fatal(err)
	}
	v6, err := ParseInet6(strings.NewReader(inet6))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range append(v4, v6...) {
		got = append(got, a.String())
	}
	if diff := cmp.Diff([]string{"10.0.0.9", "10.244.0.5", "fd00::17"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestAddressesHere asks the kernel in another way: through the interfaces.
func TestAddressesHere(t *testing.T) {
	h, err := Read(t.Context(), Options{PIDs: []int{os.Getpid()}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Addresses(h, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var want []netip.Addr
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			want = append(want, p.Addr())
		}
	}
	slices.SortFunc(want, netip.Addr.Compare)
	slices.SortFunc(got, netip.Addr.Compare)
	if diff := cmp.Diff(slices.Compact(want), got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("-interfaces +/proc\n%s", diff)
	}
}

// TestAddressesOfNobody: a process without the files has none, and that is no error.
func TestAddressesOfNobody(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "proc/7"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := Addresses(&Host{Root: root}, 7)
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func FuzzParseTrie(f *testing.F) {
	f.Add([]byte(trie))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseTrie(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got {
			if !bytes.Contains(b, []byte("|-- ")) || !global(a) {
				t.Errorf("%v comes from nowhere", a)
			}
		}
	})
}

func FuzzParseInet6(f *testing.F) {
	f.Add([]byte(inet6))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseInet6(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > bytes.Count(b, []byte("\n"))+1 {
			t.Errorf("%d addresses in %q", len(got), b)
		}
	})
}
