package e2e

import (
	"strings"
	"syscall"
	"testing"
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

	if err := syscall.Kill(i.daemon(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	i.eventually("the daemon is gone", func() bool { return i.daemon() == 0 })
	i.serve()
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
