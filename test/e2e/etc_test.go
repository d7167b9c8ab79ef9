package e2e

import (
	"os"
	"strings"
	"testing"
)

// TestFilesOfEtc: what a container reads there, by flags as Docker takes them.
func TestFilesOfEtc(t *testing.T) {
	h := start(t)
	read := func(file string, flags ...string) string {
		t.Helper()
		return h.ok(append(append([]string{"run", "--rm"}, flags...), image, "cat", "/etc/"+file)...)
	}
	has := func(text string, lines ...string) {
		t.Helper()
		for _, l := range lines {
			if !strings.Contains("\n"+text+"\n", "\n"+l+"\n") {
				t.Errorf("no line %q in\n%s", l, text)
			}
		}
	}
	has(read("resolv.conf", "--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:3"),
		"nameserver 192.0.2.53", "search example.org", "options ndots:3")
	if got := read("resolv.conf", "--dns", "192.0.2.53", "--dns-search", "."); got != "nameserver 192.0.2.53" && !strings.HasPrefix(got, "nameserver 192.0.2.53\noptions ") {
		t.Errorf("without a search domain: %q", got)
	}
	has(read("hosts", "--network", "none", "--hostname", "web.example.org", "--add-host", "db:192.0.2.7"),
		"127.0.0.1\tlocalhost", "127.0.1.1\tweb.example.org web", "192.0.2.7\tdb")
	own, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	if got := read("hosts", "--network", "host", "--add-host", "box:host-gateway"); !strings.HasPrefix(got, strings.TrimSuffix(string(own), "\n")) || !strings.HasSuffix(got, "127.0.0.1\tbox") {
		t.Errorf("in the host's network: %q", got)
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := read("hostname", "--uts", "host"); got != name {
		t.Errorf("/etc/hostname of the host's UTS namespace is %q, not %q", got, name)
	}
	other := h.container("c", "--hostname", "elsewhere")
	if got := read("hostname", "--uts", "container:"+other); got != "elsewhere" {
		t.Errorf("/etc/hostname of another's UTS namespace is %q", got)
	}
	if r := h.code(125, "run", "--rm", "--network", "none", "--add-host", "box:host-gateway", image, "true"); !strings.Contains(r.err, "no network with a gateway") {
		t.Errorf("%q", r.err)
	}
}

// TestDNSOfManifests: dnsPolicy, dnsConfig and hostAliases.
func TestDNSOfManifests(t *testing.T) {
	h := start(t)
	pod := h.name("pod")
	h.apply(`
apiVersion: v1
kind: Pod
metadata: {name: `+pod+`}
spec:
  dnsPolicy: None
  dnsConfig:
    nameservers: [192.0.2.53]
    searches: [ns.svc.cluster.local]
    options: [{name: ndots, value: "5"}, {name: rotate}]
  hostAliases: [{ip: 192.0.2.7, hostnames: [db, db.example.org]}]
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: `+image+`, command: [sleep, "1000000"]}]
`, pod)
	if got, want := h.ok("exec", pod+"/a", "cat", "/etc/resolv.conf"), "nameserver 192.0.2.53\nsearch ns.svc.cluster.local\noptions ndots:5 rotate"; got != want {
		t.Errorf("resolv.conf is %q", got)
	}
	if got := h.ok("exec", pod+"/a", "cat", "/etc/hosts"); !strings.Contains(got, "192.0.2.7\tdb db.example.org") || !strings.Contains(got, "\t"+pod+"\n") {
		t.Errorf("hosts is %q", got)
	}
}
