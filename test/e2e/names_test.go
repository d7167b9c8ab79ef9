package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestNames: on a named network containers and pods find one another by name, alias,
// container and ID; nobody else finds them; a daemon that dies takes the names along, and
// the next one brings them back.
func TestNames(t *testing.T) {
	i := startIsland(t)
	i.ok("network", "create", "lan")
	i.ok("network", "create", "dmz")
	web, db, far := i.name("web"), i.name("db"), i.name("far")
	for name, more := range map[string][]string{
		web: {"--network", "lan"}, db: {"--network", "lan", "--network-alias", "store"}, far: {"--network", "dmz"},
	} {
		i.ok(append(append([]string{"run", "-d", "--name", name}, more...), image, "httpd")...)
	}
	pod := i.name("pod")
	i.ok("pod", "create", "--network", "lan", pod)
	i.Cleanup(func() { i.run("pod", "rm", "-f", pod) })
	i.ok("run", "-d", "--pod", pod, "--name", "inner", image, "sleep", "1000000")

	found := func(asker, name, ip string) {
		t.Helper()
		if got := i.ok("exec", asker, "nslookup", name); !strings.Contains(got, ip) {
			t.Errorf("%s asks for %s: %q, want %s", asker, name, got, ip)
		}
	}
	ip := i.address(db)
	id := i.ok("inspect", "--format", "{{.Id}}", db)
	for _, name := range []string{db, strings.ToUpper(db), "store", db + ".lan", id[:12]} {
		found(web, name, ip)
	}
	found(db, web, i.address(web))
	found(web, pod, i.address(pod+"/inner"))
	found(web, "inner", i.address(pod+"/inner"))
	i.eventually("the server listens", func() bool { return i.run("exec", web, "curl", "-s", "http://store/get").code == 0 })
	for _, name := range []string{far, far + ".dmz"} {
		if r := i.run("exec", web, "nslookup", name); r.code == 0 {
			t.Errorf("%s is found from another network: %q", name, r.out)
		}
	}
	if r := i.run("exec", far, "nslookup", db); r.code == 0 {
		t.Errorf("%s is found from another network: %q", db, r.out)
	}

	asker := i.pid(web)
	if err := syscall.Kill(i.daemon(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	i.eventually("the daemon is gone", func() bool { return i.daemon() == 0 })
	server, err := dial(asker, "udp", at(gateway(t, asker), 53))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for range 2 { // an error comes with the second try
		if err := question(server, 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a question without a daemon: %v", err)
		}
	}
	i.serve()
	i.eventually("the same question again", func() bool { return question(server, time.Second) == nil })
	found(web, "store", ip)

	i.ok("network", "connect", "--alias", "bridgehead", "dmz", web)
	found(far, "bridgehead", "10.")
	if got, there := i.ok("exec", web, "cat", "/etc/hosts"), i.addressOf(web, "eth1"); !strings.Contains(got, there+"\t"+web) {
		t.Errorf("hosts without the new address %s: %q", there, got)
	}
	found(web, far, i.address(far))
	i.ok("network", "disconnect", "dmz", web)
	if r := i.run("exec", far, "nslookup", "bridgehead"); r.code == 0 {
		t.Errorf("found after it has left: %q", r.out)
	}
	i.ok("rm", "-f", web, db, far)
	i.ok("pod", "rm", "-f", pod)
	i.ok("network", "rm", "lan", "dmz")
}

// gateway is what a container's first process asks for names.
func gateway(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/etc/resolv.conf", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, ip, _ := strings.Cut(string(text), "nameserver ")
	ip, _, _ = strings.Cut(ip, "\n")
	return ip
}

// question asks a server for a name.
func question(server net.Conn, patience time.Duration) error {
	_ = server.SetDeadline(time.Now().Add(patience))
	c := dns.Conn{Conn: server}
	if err := c.WriteMsg(new(dns.Msg).SetQuestion("store.", dns.TypeA)); err != nil {
		return err
	}
	_, err := c.ReadMsg()
	return err
}
