package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

func at(ip string, port int) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

// TestPorts: ports of the host lead to the pod from everywhere, in both families, and a
// port for one address only from there.
func TestPorts(t *testing.T) {
	l := newLab(t)
	web := l.container("web", "-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "[::1]:8082:80", "-p", "9000-9001:90-91", "-p", "82")
	other := l.container("other")
	pid, beside := l.pid(web), l.pid(other)
	third := l.container("third", "-p", "8083:80")
	l.echo(pid, 80)
	l.echo(pid, 91)
	l.echo(l.pid(third), 80)
	_, gateways, _ := strings.Cut(l.ok("network", "inspect", "default", "-o", "json"), `"gateways": [`)
	gateway, gateway6 := strings.Trim(strings.Fields(gateways)[0], `",`), strings.Trim(strings.Fields(gateways)[1], `",`)

	l.wantFrom("outside", l.outside, at(here4, 8080), outside4)
	l.wantFrom("outside", l.outside, at(here6, 8080), outside6)
	l.wantFrom("outside, a range", l.outside, at(here4, 9001), outside4)
	l.wantFrom("the host by its address", l.here, at(here4, 8080), here4)
	l.wantFrom("the host by its address", l.here, at(here6, 8080), here6)
	l.wantFrom("the host by localhost", l.here, "127.0.0.1:8080", gateway)
	l.wantFrom("a port of localhost", l.here, "127.0.0.1:8081", gateway)
	l.wantFrom("a port of localhost, from outside", l.outside, at(here4, 8081), "")
	l.wantFrom("another pod", beside, at(here4, 8080), "*")
	l.wantFrom("another pod", beside, at(here6, 8080), "*")
	l.wantFrom("the pod itself", pid, at(here4, 8080), gateway)
	l.wantFrom("the pod itself", pid, at(here6, 8080), "*")
	l.wantFrom("a port that is not published", l.outside, at(here4, 80), "")
	l.wantFrom("the host by ::1", l.here, "[::1]:8080", gateway6)
	l.wantFrom("another pod's port by ::1", l.here, "[::1]:8083", gateway6)
	l.wantFrom("a port of ::1", l.here, "[::1]:8082", gateway6)
	l.wantFrom("a port of ::1, from outside", l.outside, at(here6, 8082), "")
	l.wantFrom("a port of ::1, from a pod", beside, at(gateway6, 8082), "")
	if c, err := dial(l.here, "tcp", "[::1]:8081"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port of 127.0.0.1 alone, by ::1: %v, %v", c, err)
	}
	l.localhostStaysOwn(pid)
	for _, ip := range []string{here4, here6} {
		if err := copies(l.outside, at(ip, 8080), 64<<20); err != nil {
			t.Errorf("a large transfer by %s: %v", ip, err)
		}
	}
	ports := l.ok("port", web)
	for _, want := range []string{"80/tcp -> 0.0.0.0:8080", "80/tcp -> [::]:8080", "80/tcp -> 127.0.0.1:8081", "91/tcp -> 0.0.0.0:9001", "82/tcp -> 0.0.0.0:"} {
		if !strings.Contains(ports, want) {
			t.Errorf("no %q in\n%s", want, ports)
		}
	}
	if out := l.ok("port", web, "80"); !strings.Contains(out, "0.0.0.0:8080\n") || strings.Contains(out, "->") {
		t.Errorf("port 80:\n%s", out)
	}
	l.code(1, "port", web, "80/udp")
	listed := l.ok("ps", "--format", "{{.Names}} {{.Ports}}")
	if !strings.Contains(listed, web+" 0.0.0.0:8080->80/tcp, ") || !strings.Contains(listed, ", [::]:9000-9001->90-91/tcp") || !strings.Contains(listed, other+" \n") {
		t.Errorf("ps:\n%s", listed)
	}
	if out := l.ok("ps", "-o", "json"); !strings.Contains(out, `"hostPort": 8081`) {
		t.Errorf("ps -o json:\n%s", out)
	}
	l.portsThatAreTaken(web)
}

// localhostStaysOwn: what listens on the host's loopback is for the host alone, though
// loopback's connections go out to a pod and come back.
func (l *lab) localhostStaysOwn(pid int) {
	l.Helper()
	l.echo(l.here, 8099)
	l.wantFrom("a server of the host's by ::1", l.here, "[::1]:8099", "::1")
	l.wantFrom("a server of the host's by 127.0.0.1", l.here, "127.0.0.1:8099", "127.0.0.1")
	l.inside(pid, "ip -6 addr del ::1/128 dev lo")
	l.inside(pid, "ip -6 route add ::1/128 via fe80::1 dev eth0")
	l.wantFrom("the host's ::1, from a pod that has none", pid, "[::1]:8099", "")
	l.inside(pid, "ip -6 route del ::1/128 via fe80::1 dev eth0")
	l.inside(pid, "ip -6 addr add ::1/128 dev lo")
}

func (l *lab) portsThatAreTaken(web string) {
	l.Helper()
	if r := l.code(125, "run", "--rm", "-p", "8080:81", image, "true"); !strings.Contains(r.err, "port 8080/tcp of the host: pod "+web) {
		l.Error(r.err)
	}
	l.echo(l.here, 8090)
	if r := l.code(125, "run", "--rm", "-p", "8090:81", image, "true"); !strings.Contains(r.err, "port 8090 of the host: a process of the host has it") {
		l.Error(r.err)
	}
	if r := l.code(125, "run", "--rm", "-p", "198.18.99.1:8091:81", image, "true"); !strings.Contains(r.err, "198.18.99.1 is not an address of the host") {
		l.Error(r.err)
	}
	l.ok("rm", "-f", web)
	l.ok("run", "--rm", "-p", "8080:81", image, "true")
}

// TestDatagrams: a client that goes on sending UDP reaches the next pod with the port.
func TestDatagrams(t *testing.T) {
	l := newLab(t)
	c, err := dial(l.outside, "udp", at(here4, 5353))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(c net.Conn) string {
		b := make([]byte, 100)
		_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond)) // nobody answers at first
		if _, err := c.Write([]byte("who?")); err != nil {
			return ""
		}
		n, _ := c.Read(b)
		return string(b[:n])
	}
	if got := ask(c); got != "" {
		t.Fatalf("%q without a pod", got)
	}
	for _, name := range []string{l.name("one"), l.name("two")} {
		l.ok("run", "-d", "--name", name, "-p", "5353:53/udp", image, "sleep", "1000000")
		l.Cleanup(func() { l.run("rm", "-f", name) })
		var in net.PacketConn
		if err := enter(l.pid(name), func() (err error) { in, err = net.ListenPacket("udp", ":53"); return err }); err != nil {
			t.Fatal(err)
		}
		go func() {
			b := make([]byte, 100)
			for {
				_, from, err := in.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = in.WriteTo([]byte(name), from)
			}
		}()
		l.eventually("the same client reaches "+name, func() bool { return ask(c) == name })
		for _, ip := range []string{"127.0.0.1", "::1"} {
			local, err := dial(l.here, "udp", at(ip, 5353))
			if err != nil {
				t.Fatal(err)
			}
			l.eventually(ip+" reaches "+name, func() bool { return ask(local) == name })
			_ = local.Close()
		}
		l.ok("rm", "-f", name)
		_ = in.Close()
	}
}

// TestOutside: a pod reaches the outside, which sees the host.
func TestOutside(t *testing.T) {
	l := newLab(t)
	l.echo(l.outside, 7000)
	pod := l.container("pod")
	pid := l.pid(pod)
	l.wantFrom("outside", pid, at(outside4, 7000), here4)
	l.wantFrom("outside", pid, at(outside6, 7000), here6)
	for _, ip := range []string{outside4, outside6} {
		if err := copies(pid, at(ip, 7000), 16<<20); err != nil {
			t.Errorf("a large transfer to %s: %v", ip, err)
		}
	}
	if out := l.ok("exec", pod, "ip", "addr"); !strings.Contains(out, "eth0") || !strings.Contains(out, "mtu 1420") {
		t.Errorf("the uplink's MTU is 1420:\n%s", out)
	}
	l.echo(l.here, 7001)
	v4, v6 := l.ips("default", pod)
	l.wantFrom("the host", pid, at(here4, 7001), v4)
	l.wantFrom("the host", pid, at(here6, 7001), v6)
	if out := l.ok("exec", pod, "cat", "/etc/hosts"); !strings.Contains(out, v4+"\t"+pod) {
		t.Errorf("/etc/hosts:\n%s", out)
	}
	// The host was no router before, and is none between its own links now.
	l.nft(func(c *nftables.Conn) error {
		tables, err := c.ListTables()
		if err != nil || len(tables) != 1 {
			return fmt.Errorf("%d tables, %v", len(tables), err)
		}
		set, err := c.GetSetByName(tables[0], "uplinks")
		if err != nil {
			return err
		}
		guarded, err := c.GetSetElements(set)
		if err != nil || len(guarded) != 1 || !strings.HasPrefix(string(guarded[0].Key), "up0\x00") {
			return fmt.Errorf("guarded links: %v, %v", guarded, err)
		}
		return nil
	})
}

// TestIsolation: pods of one network reach one another, pods of different ones do not,
// and from outside nobody reaches what is not published.
func TestIsolation(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"front", "back"} {
		l.ok("network", "create", n)
		t.Cleanup(func() { l.run("network", "rm", n) })
	}
	web := l.container("web", "--network", "front")
	db := l.container("db", "--network", "back")
	both := l.container("both", "--network", "front", "--network", "back")
	plain := l.container("plain")
	alone := l.container("alone", "--network", "none")
	l.echo(l.pid(db), 80)
	db4, db6 := l.ips("back", db)
	for _, ip := range []string{db4, db6} {
		l.wantFrom("the same network", l.pid(both), at(ip, 80), "*")
		l.wantFrom("the host", l.here, at(ip, 80), "*")
		l.wantFrom("another network", l.pid(web), at(ip, 80), "")
		l.wantFrom("the default network", l.pid(plain), at(ip, 80), "")
	}
	l.inside(l.outside, "ip route add "+db4+" via "+here4)
	l.wantFrom("outside, who knows the way", l.outside, at(db4, 80), "")
	if out := l.ok("exec", alone, "ip", "addr"); strings.Contains(out, "eth0") {
		t.Errorf("--network none:\n%s", out)
	}
	l.ok("network", "connect", "--alias", "store", "back", web)
	l.wantFrom("after connect", l.pid(web), at(db4, 80), "*")
	l.ok("stop", "-t", "0", web) // and after the next start
	l.ok("start", web)
	l.wantFrom("after connect and restart", l.pid(web), at(db4, 80), "*")
	if out := l.ok("network", "inspect", "back"); !strings.Contains(out, `"store"`) {
		t.Errorf("no alias in\n%s", out)
	}
	l.ok("network", "disconnect", "back", web)
	l.wantFrom("after disconnect", l.pid(web), at(db4, 80), "")
	if r := l.code(1, "network", "rm", "back"); !strings.Contains(r.err, "is connected") {
		t.Error(r.err)
	}
	if r := l.code(125, "run", "--rm", "--network", "nowhere", image, "true"); !strings.Contains(r.err, "network nowhere: no such network") {
		t.Error(r.err)
	}
	// A pod cannot speak with another's address.
	plain4, _ := l.ips("default", plain)
	l.inside(l.pid(web), "ip addr add "+plain4+"/32 dev lo")
	err := enter(l.pid(web), func() error {
		d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(plain4)}}
		c, err := d.Dial("tcp", at(here4, 22))
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "timeout") { // refused would mean that it arrived
		t.Errorf("with another's address: %v", err)
	}
}

// TestNetworkOutlivesTheDaemon: connections and ports work on while it is dead, the next
// one takes over, repairs what others flush, and at last the host is as it was.
func TestNetworkOutlivesTheDaemon(t *testing.T) {
	l := newLab(t)
	web := l.container("web", "-p", "8080:80")
	l.echo(l.pid(web), 80)
	c, err := dial(l.outside, "tcp", at(here4, 8080))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := line(c); err != nil {
		t.Fatal(err)
	}
	still := func(when string) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(testenv.Patience(5 * time.Second)))
		fmt.Fprintln(c, when)
		if got, err := line(c); got != when || err != nil {
			t.Errorf("%s: an open connection says %q, %v", when, got, err)
		}
		l.eventually(when+": a new connection", func() bool { return ask(l.outside, at(here4, 8080)) == outside4 })
	}
	still("before")
	l.stop(syscall.SIGKILL)
	still("without a daemon")
	v4, _ := l.ips("default", web) // starts the next one
	other := l.container("other")
	if o4, _ := l.ips("default", other); o4 == v4 {
		t.Errorf("%s is two pods' address", v4)
	}
	still("with the next daemon")
	before := l.tables()
	l.nft(func(c *nftables.Conn) error { c.FlushRuleset(); return c.Flush() })
	l.eventually("the rules are back", func() bool { return slices.Equal(l.tables(), before) && len(before) > 0 })
	still("after a flush")
	l.ok("rm", "-f", web, other)
	l.stop(syscall.SIGTERM)
	l.asItWas()
}

// asItWas waits until the host is as it was before carob.
func (l *lab) asItWas() {
	l.Helper()
	if !wait(20*time.Second, func() bool { return l.state() == l.first }) {
		l.Errorf("the host was:\n%s\nand is:\n%s", l.first, l.state())
	}
}

// TestConnections opens many at once through a port of the host, and removes the pod: the
// kernel tracks none of them any more.
func TestConnections(t *testing.T) {
	l := newLab(t)
	n := 2000
	if *long {
		n = 10000
		var files syscall.Rlimit // both ends of each are this process's
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			t.Fatal(err)
		}
		if most := int(files.Cur-200) / 2; n > most {
			t.Logf("%d open files allow %d connections, not %d", files.Cur, most, n)
			n = most
		}
	}
	web := l.container("web", "-p", "8080:80")
	v4, _ := l.ips("default", web)
	l.echo(l.pid(web), 80)
	open := make([]net.Conn, n)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 32 {
		wg.Go(func() {
			_ = enter(l.outside, func() error {
				d := net.Dialer{Timeout: testenv.Patience(10 * time.Second)}
				for i := range next {
					c, err := d.Dial("tcp", at(here4, 8080))
					if err != nil {
						t.Errorf("connection %d: %v", i, err)
						continue
					}
					open[i] = c
				}
				return nil
			})
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	defer func() {
		for _, c := range open {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for i, c := range open {
		if c == nil {
			t.FailNow()
		}
		_ = c.SetDeadline(time.Now().Add(testenv.Patience(10 * time.Second)))
		if from, err := line(c); from != outside4 {
			t.Fatalf("connection %d: %q, %v", i, from, err)
		}
	}
	if got := l.tracked(v4); got < n {
		t.Errorf("%d of %d connections are tracked: this test sees nothing", got, n)
	}
	l.ok("rm", "-f", web)
	l.eventually("no connection is tracked", func() bool { return l.tracked(v4) == 0 })
}

// tracked counts the connections that the kernel tracks of an address.
func (l *lab) tracked(ip string) (n int) {
	l.Helper()
	err := enter(l.here, func() error {
		f, err := os.Open("/proc/thread-self/net/nf_conntrack")
		if err != nil {
			return err
		}
		defer f.Close()
		text, err := io.ReadAll(f)
		for one := range strings.Lines(string(text)) {
			if strings.Contains(one, "="+ip+" ") {
				n++
			}
		}
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
	return n
}

// TestPodNetwork: a manifest's host port and bandwidth.
func TestPodNetwork(t *testing.T) {
	l := newLab(t)
	l.apply(`apiVersion: v1
kind: Pod
metadata:
  name: slow
  annotations: {kubernetes.io/ingress-bandwidth: 40M, kubernetes.io/egress-bandwidth: 40M}
spec:
  containers:
  - name: main
    image: `+image+`
    command: [sleep, "1000000"]
    ports: [{containerPort: 80, hostPort: 8080}]
`, "slow")
	pid := l.pid("slow/main")
	l.echo(pid, 80)
	l.wantFrom("a host port", l.outside, at(here4, 8080), outside4)
	const bytes = 8 << 20
	began := time.Now()
	if err := copies(l.outside, at(here4, 8080), bytes); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if least := bytes * 8 * time.Second / 40e6 * 8 / 10; took < least { // a fifth for the bucket and what is on its way
		t.Errorf("8 MiB at 40 Mbit/s took %v, at least %v", took, least)
	}
	if names := l.inside(l.here, "ip -o link show type ifb"); !strings.Contains(names, "cx") {
		t.Errorf("what the pod sends is not shaped:\n%s", names)
	}
	l.ok("delete", "pod", "slow")
	l.stop(syscall.SIGTERM)
	l.asItWas()
}

// TestPodNetworks: a manifest names the pod's networks, the first with the default route.
func TestPodNetworks(t *testing.T) {
	l := newLab(t)
	for _, n := range []string{"front", "back"} {
		l.ok("network", "create", n)
		t.Cleanup(func() { l.run("network", "rm", n) })
	}
	manifest := `apiVersion: v1
kind: Pod
metadata:
  name: both
  annotations: {carob.local/networks: "back, front"}
spec:
  containers:
  - {name: main, image: ` + image + `, command: [sleep, "1000000"]}
`
	l.apply(manifest, "both")
	db := l.container("db", "--network", "front")
	l.echo(l.pid(db), 80)
	db4, _ := l.ips("front", db)
	l.wantFrom("the second network", l.pid("both/main"), at(db4, 80), "*")
	v4, _ := l.ips("back", "both")
	l.echo(l.outside, 7000)
	l.wantFrom("outside", l.pid("both/main"), at(outside4, 7000), here4)
	if out := l.inside(l.pid("both/main"), "ip route get "+outside4); !strings.Contains(out, "src "+v4) {
		t.Errorf("the first network, with %s, has the default route:\n%s", v4, out)
	}
	if out := l.ok("ps", "-o", "wide"); !strings.Contains(out, "back,front") {
		t.Errorf("ps -o wide:\n%s", out)
	}
	r := l.feed(strings.NewReplacer("name: both", "name: lost", "back, front", "nowhere").Replace(manifest), "apply", "-f", "-")
	if r.code != 1 || !strings.Contains(r.err, "network nowhere: no such network") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if out := l.ok("pods"); strings.Contains(out, "lost") {
		t.Errorf("a pod whose network there is not is left behind:\n%s", out)
	}
}
