package etc

import (
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/spec"
)

func TestFiles(t *testing.T) {
	hosts := Hosts("web", []string{"10.0.0.2"}, []spec.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}})
	for _, line := range []string{"127.0.0.1\tlocalhost\n", "10.0.0.2\tweb\n", "1.2.3.4\ta b\n"} {
		if !strings.Contains(hosts, line) {
			t.Errorf("no line %q in %q", line, hosts)
		}
	}
	if h := Hosts("web", nil, nil); !strings.Contains(h, "127.0.1.1\tweb\n") {
		t.Errorf("%q", h)
	}
	got, err := Resolv(spec.DNS{Nameservers: []string{"9.9.9.9"}, Searches: []string{"x.org", "y"}, Options: []string{"ndots:5"}})
	if want := "nameserver 9.9.9.9\nsearch x.org y\noptions ndots:5\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []spec.DNS{{Nameservers: []string{"x"}}, {Searches: []string{"a\nnameserver 6.6.6.6"}}, {Options: []string{""}}} {
		if _, err := Resolv(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	text, ok := Reachable("# local\nnameserver 127.0.0.53\nsearch x\n")
	if ok || text != "# local\nsearch x\n" {
		t.Errorf("%q %v", text, ok)
	}
	if _, ok := Reachable("nameserver ::1\nnameserver 1.1.1.1\n"); !ok {
		t.Error("a server that is reachable")
	}
	if CheckHosts([]spec.HostAlias{{IP: "1.1.1.1", Hostnames: []string{"a\n6.6.6.6 b"}}}) == nil || CheckHosts([]spec.HostAlias{{IP: "x"}}) == nil {
		t.Error("a line of somebody else's")
	}
}
