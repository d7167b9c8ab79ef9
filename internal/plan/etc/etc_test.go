package etc

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

const (
	corporate = "# by hand\nnameserver 10.1.1.1\nnameserver 10.1.1.2\nsearch corp.example lab.example\noptions edns0 ndots:2\n"
	stub      = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.example\n"
	behind    = "nameserver 10.9.9.9\nsearch corp.example\n"
)

// host is a host with these files.
func host(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
}

func resolvedBy(text string) func(string) ([]byte, error) {
	return host(map[string]string{"/etc/resolv.conf": text, "/etc/hosts": "127.0.0.1 localhost box\n10.1.1.9 printer"})
}

func TestResolv(t *testing.T) {
	named := []status.Connection{{Network: "lan", Names: true, DNS: &spec.DNS{Nameservers: []string{"10.88.1.1", "fd00::1"}}}}
	plugin := []status.Connection{{Network: "cni"}, {Network: "other", DNS: &spec.DNS{Nameservers: []string{"10.3.0.10"}, Searches: []string{"svc"}}}}
	for _, c := range []struct {
		name string
		r    Request
		want string
	}{
		{"the host's as it is", Request{Net: spec.Own, Host: resolvedBy(corporate)}, corporate},
		{"in the host's network even the loopback's", Request{Net: spec.Host, Host: resolvedBy(stub)}, stub},
		{"systemd's stub", Request{Net: spec.Own, Host: host(map[string]string{"/etc/resolv.conf": stub, "/run/systemd/resolve/resolv.conf": behind})}, behind},
		{"a loopback server without systemd", Request{Net: spec.Own, Host: resolvedBy("nameserver ::1\nsearch a\n")}, "search a\n"},
		{"no file", Request{Net: spec.Own, Host: host(nil)}, ""},
		{"only", Request{Net: spec.Own, Host: resolvedBy(corporate), Links: named, DNS: &spec.DNS{Nameservers: []string{"9.9.9.9"}}}, "nameserver 9.9.9.9\n"},
		{"docker: a server, the rest is the host's", Request{Net: spec.Own, Host: resolvedBy(corporate), DNS: &spec.DNS{Policy: spec.DNSFill, Nameservers: []string{"9.9.9.9"}}},
			"nameserver 9.9.9.9\nsearch corp.example lab.example\noptions edns0 ndots:2\n"},
		{"docker: no search domain", Request{Net: spec.Own, Host: resolvedBy(corporate), DNS: &spec.DNS{Policy: spec.DNSFill, Searches: []string{"."}}},
			"nameserver 10.1.1.1\nnameserver 10.1.1.2\noptions edns0 ndots:2\n"},
		{"kubernetes: added", Request{Net: spec.Own, Host: resolvedBy(corporate), DNS: &spec.DNS{
			Policy: spec.DNSAdd, Nameservers: []string{"10.1.1.2", "9.9.9.9", "8.8.8.8"}, Searches: []string{"x.org", "lab.example"}, Options: []string{"ndots:5", "rotate"}}},
			"nameserver 10.1.1.1\nnameserver 10.1.1.2\nnameserver 9.9.9.9\nsearch corp.example lab.example x.org\noptions edns0 ndots:5 rotate\n"},
		{"kubernetes: added to systemd's", Request{Net: spec.Own, Host: host(map[string]string{"/etc/resolv.conf": stub, "/run/systemd/resolve/resolv.conf": behind}),
			DNS: &spec.DNS{Policy: spec.DNSAdd, Nameservers: []string{"9.9.9.9"}}}, "nameserver 10.9.9.9\nnameserver 9.9.9.9\nsearch corp.example\n"},
		{"a network that knows names", Request{Net: spec.Own, Host: resolvedBy(corporate), Links: named},
			"nameserver 10.88.1.1\nnameserver fd00::1\nsearch corp.example lab.example\noptions edns0 ndots:0\n"},
		{"its server asks the pod's servers itself", Request{Net: spec.Own, Host: resolvedBy(corporate), Links: named, DNS: &spec.DNS{Policy: spec.DNSFill, Nameservers: []string{"9.9.9.9"}, Options: []string{"ndots:3"}}},
			"nameserver 10.88.1.1\nnameserver fd00::1\nsearch corp.example lab.example\noptions ndots:3\n"},
		{"what a plugin says", Request{Net: spec.Own, Host: resolvedBy(corporate), Links: plugin},
			"nameserver 10.3.0.10\nsearch svc\noptions edns0 ndots:2\n"},
		{"docker's flag over a plugin", Request{Net: spec.Own, Host: resolvedBy(corporate), Links: plugin, DNS: &spec.DNS{Policy: spec.DNSFill, Nameservers: []string{"9.9.9.9"}}},
			"nameserver 9.9.9.9\nsearch svc\noptions edns0 ndots:2\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			files, err := Files(c.r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, files["resolv.conf"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A plugin's answer must not become more than a word either.
func TestHostileDNS(t *testing.T) {
	for _, bad := range []spec.DNS{
		{Nameservers: []string{"1.1.1.1\nnameserver 6.6.6.6"}}, {Nameservers: []string{"x"}},
		{Searches: []string{"a\nnameserver 6.6.6.6"}}, {Options: []string{""}}, {Options: []string{"a b"}}, {Policy: "else"},
	} {
		if err := CheckDNS(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
		_, err := Files(Request{Net: spec.Own, Host: host(nil), Links: []status.Connection{{DNS: &bad}}})
		if bad.Policy == "" && !fault.Is(err, fault.Invalid) {
			t.Errorf("from a network %+v: %v", bad, err)
		}
	}
}

func TestHosts(t *testing.T) {
	links := []status.Connection{
		{IPs: []string{"10.88.0.2", "fd00::2"}, Gateways: []string{"10.88.0.1", "fd00::1"}},
		{IPs: []string{"10.89.0.2"}, Gateways: []string{"10.89.0.1"}},
	}
	const loopback = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
	gateway := []spec.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}, {IP: spec.HostGateway, Hostnames: []string{"box"}}}
	for _, c := range []struct {
		name string
		r    Request
		want string
	}{
		{"no network", Request{Hostname: "web", Net: spec.None}, loopback + "127.0.1.1\tweb\n"},
		{"two networks", Request{Hostname: "web", Net: spec.Own, Links: links, Hosts: gateway},
			loopback + "10.88.0.2\tweb\nfd00::2\tweb\n10.89.0.2\tweb\n1.2.3.4\ta b\n10.88.0.1\tbox\nfd00::1\tbox\n"},
		{"a qualified name", Request{Hostname: "web.example.org", Net: spec.None}, loopback + "127.0.1.1\tweb.example.org web\n"},
		{"the host's network", Request{Hostname: "box", Net: spec.Host, Hosts: gateway},
			"127.0.0.1 localhost box\n10.1.1.9 printer\n1.2.3.4\ta b\n127.0.0.1\tbox\n"},
	} {
		c.r.Host = resolvedBy("")
		files, err := Files(c.r)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if diff := cmp.Diff(c.want, files["hosts"]); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if files["hostname"] != c.r.Hostname+"\n" {
			t.Errorf("%s: hostname %q", c.name, files["hostname"])
		}
	}
	if _, err := Files(Request{Net: spec.None, Hosts: gateway, Host: host(nil)}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "box") {
		t.Errorf("a gateway without a network: %v", err)
	}
	for _, bad := range []spec.HostAlias{{IP: "1.1.1.1", Hostnames: []string{"a\n6.6.6.6 b"}}, {IP: "x", Hostnames: []string{"a"}}, {IP: "1.1.1.1"}, {IP: "", Hostnames: []string{"a"}}} {
		if err := CheckHosts([]spec.HostAlias{bad}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if err := CheckHosts(gateway); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(corporate)
	f.Add(stub)
	f.Add("nameserver \x00\nsearch\noptions \t\n")
	f.Fuzz(func(t *testing.T, in string) {
		if _, err := text(parse(in)); err != nil && !strings.ContainsRune(in, 0) {
			t.Errorf("%q is not written as it was read: %v", in, err)
		}
	})
}
