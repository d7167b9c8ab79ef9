package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/testenv"
)

// island is a machine whose daemon lives in a network namespace of its own: what it and
// plugins do to the host's network they do there.
type island struct {
	*host
	conf string // the directory of CNI configurations
}

// startIsland starts a daemon that uses CNI configurations of its own, none at first.
func startIsland(t *testing.T, flags ...string) *island {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.CNIPlugins)
	h := startOwn(t)
	i := &island{h, filepath.Join(h.dir, "net.d")}
	i.serve(flags...)
	return i
}

// serve starts the daemon and waits until it answers.
func (i *island) serve(flags ...string) {
	i.Helper()
	log, err := os.OpenFile(filepath.Join(i.dir, "serve.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		i.Fatal(err)
	}
	defer log.Close()
	args := append([]string{
		"serve", "--run=" + filepath.Join(i.dir, "run"), "--root=" + filepath.Join(i.dir, "lib"),
		"--socket=" + filepath.Join(i.dir, "run", "api.sock"), "--cni-conf-dir=" + i.conf,
	}, flags...)
	c := exec.Command("sh", append([]string{"-c", `ip link set lo up && exec "$0" "$@"`, filepath.Join(i.dir, "bin", "carob")}, args...)...)
	c.Env, c.Stdout, c.Stderr = i.env, log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if pid := i.place(); pid > 0 { // where the first daemon was
		c.Args = append([]string{"nsenter", "--net=" + i.netns(), "--"}, c.Args...)
		if c.Path, err = exec.LookPath("nsenter"); err != nil {
			i.Fatal(err)
		}
	} else {
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	if err := c.Start(); err != nil {
		i.Fatal(err)
	}
	go func() { _ = c.Wait() }() // reaps it when the machine is closed, or a test kills it
	i.eventually("the daemon answers", func() bool { return i.daemon() > 0 })
	if i.place() == 0 {
		holder := i.outside("sleep", "1000000")
		if err := holder.Start(); err != nil {
			i.Fatal(err)
		}
		i.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
		if err := os.WriteFile(filepath.Join(i.dir, "holder"), []byte(strconv.Itoa(holder.Process.Pid)), 0o600); err != nil {
			i.Fatal(err)
		}
		i.eventually("the namespace is held", func() bool { return i.ns(holder.Process.Pid, "net") == i.ns(i.daemon(), "net") })
	}
}

// place is the pid of the process that holds the island's namespace, 0 before there is one.
func (i *island) place() int {
	text, _ := os.ReadFile(filepath.Join(i.dir, "holder"))
	pid, _ := strconv.Atoi(string(text))
	return pid
}

func (i *island) netns() string {
	pid := i.place()
	if pid == 0 {
		pid = i.daemon()
	}
	return fmt.Sprintf("/proc/%d/ns/net", pid)
}

// outside is a command in the island's host network.
func (i *island) outside(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + i.netns(), "--"}, args...)...)
}

// reach gets a page from within the island's host network.
func (i *island) reach(address string) (string, error) {
	b, err := i.outside(filepath.Join(i.dir, "bin", "carob-toolbox"), "curl", "-s", "http://"+address+"/get").CombinedOutput()
	return string(b), err
}

func (i *island) answers(address string) {
	i.Helper()
	var text string
	if !wait(10*time.Second, func() bool {
		var err error
		text, err = i.reach(address)
		return err == nil && strings.Contains(text, "Host")
	}) {
		i.Fatalf("%s does not answer: %s", address, text)
	}
}

// configure writes a network of the bridge plugin, with more plugins after it.
func (i *island) configure(file, name, subnet string, more ...string) {
	i.Helper()
	if err := os.MkdirAll(i.conf, 0o755); err != nil {
		i.Fatal(err)
	}
	text := fmt.Sprintf(`{"cniVersion":"1.0.0","name":%q,"plugins":[{"type":"bridge","bridge":%q,"isGateway":true,"ipMasq":true,"hairpinMode":true,
		"ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":%q}]],"routes":[{"dst":"0.0.0.0/0"}]},
		"dns":{"nameservers":["192.0.2.53"],"search":["cni.example"]}}%s]}`, name, "br-"+name, i.leases(), subnet, strings.Join(append([]string{""}, more...), ","))
	// In one step, as installers do: between creation and content it is a broken file.
	tmp := filepath.Join(i.dir, "conf.tmp")
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		i.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(i.conf, file)); err != nil {
		i.Fatal(err)
	}
}

func (i *island) leases() string { return filepath.Join(i.dir, "ipam") }

// leased are the addresses that host-local has given out.
func (i *island) leased(network string) (all []string) {
	entries, _ := os.ReadDir(filepath.Join(i.leases(), network))
	for _, e := range entries {
		if _, err := netip.ParseAddr(e.Name()); err == nil {
			all = append(all, e.Name())
		}
	}
	return all
}

// nothing wants no trace of pods: leases, paths of namespaces, links.
func (i *island) nothing(network string) {
	i.Helper()
	if all := i.leased(network); len(all) > 0 {
		i.Errorf("leases of %s: %v", network, all)
	}
	for _, kind := range []string{"attachment", "cache/results"} {
		if left, _ := filepath.Glob(filepath.Join(i.dir, "lib", "cni", kind, "*")); len(left) > 0 {
			i.Errorf("records: %v", left)
		}
	}
	var links []byte
	// The kernel takes away a dead namespace's links when it comes to it, and the built-in
	// network what it has made ahead when its last pod has gone for ten seconds.
	if !wait(20*time.Second, func() bool {
		var err error
		links, err = i.outside("ip", "-o", "link", "show", "type", "veth").CombinedOutput()
		return err == nil && len(links) == 0
	}) {
		i.Errorf("links: %s", links)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		i.Fatal(err)
	}
	for _, id := range i.known() {
		if strings.Contains(string(mounts), "carob-"+id) {
			i.Errorf("pod %s: its namespace has still a path", id)
		}
	}
}

// known are the pods that the daemon's log tells of.
func (i *island) known() (ids []string) {
	text, _ := os.ReadFile(filepath.Join(i.dir, "serve.log"))
	seen := map[string]bool{}
	for word := range strings.FieldsSeq(string(text)) {
		if id, ok := strings.CutPrefix(word, "containerid="); ok && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

func (i *island) address(container string) string {
	i.Helper()
	return i.addressOf(container, "eth0")
}

// addressOf is the first IPv4 address of an interface as the container sees it.
func (i *island) addressOf(container, name string) string {
	i.Helper()
	text, here := i.ok("exec", container, "ip", "addr"), false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) > 1 && strings.HasSuffix(f[0], ":"):
			here = f[1] == name+":"
		case len(f) > 1 && f[0] == "inet" && here:
			ip, _, _ := strings.Cut(f[1], "/")
			return ip
		}
	}
	i.Fatalf("%s has no address on %s:\n%s", container, name, text)
	return ""
}

// TestCNI: containers on a bridge reach one another and are reached from the host; what
// plugins say about names is in resolv.conf; a daemon that dies changes nothing, and the
// next one takes everything back.
func TestCNI(t *testing.T) {
	i := startIsland(t)
	i.configure("10-lan.conflist", "lan", "10.93.0.0/24", `{"type":"firewall"}`, `{"type":"bandwidth","capabilities":{"bandwidth":true}}`)
	one, two := i.container("one"), i.name("two")
	i.ok("run", "-d", "--name", two, "--annotation", "kubernetes.io/ingress-bandwidth=100M", image, "httpd")
	ip := i.address(two)
	if !strings.HasPrefix(ip, "10.93.0.") {
		t.Errorf("address %s", ip)
	}
	i.answers(ip)
	if got := i.ok("exec", one, "curl", "-s", "http://"+ip+"/get"); !strings.Contains(got, ip) {
		t.Errorf("from the other container: %q", got)
	}
	if got := i.ok("exec", one, "cat", "/etc/resolv.conf"); !strings.Contains(got, "nameserver 192.0.2.53\nsearch cni.example") {
		t.Errorf("resolv.conf: %q", got)
	}
	if got := i.ok("exec", two, "cat", "/etc/hosts"); !strings.Contains(got, ip+"\t"+two) {
		t.Errorf("hosts: %q", got)
	}
	if err := syscall.Kill(i.daemon(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	i.eventually("the daemon is gone", func() bool { return i.daemon() == 0 })
	i.answers(ip)
	i.serve()
	i.answers(ip)
	if n := len(i.leased("lan")); n != 2 {
		t.Errorf("%d addresses are leased", n)
	}
	i.ok("rm", "-f", one, two)
	i.nothing("lan")
}

// TestCNIComesAndGoes: a configuration counts from the moment it is there; what was
// connected otherwise stays so.
func TestCNIComesAndGoes(t *testing.T) {
	i := startIsland(t)
	before := i.container("before")
	if ip := i.address(before); strings.HasPrefix(ip, "10.93.") {
		t.Errorf("without a configuration the address is %s", ip)
	}
	i.configure("10-lan.conflist", "lan", "10.93.0.0/24")
	during := i.container("during")
	if ip := i.address(during); !strings.HasPrefix(ip, "10.93.") {
		t.Errorf("with a configuration the address is %s", ip)
	}
	if err := os.Remove(filepath.Join(i.conf, "10-lan.conflist")); err != nil {
		t.Fatal(err)
	}
	after := i.container("after")
	if ip := i.address(after); strings.HasPrefix(ip, "10.93.") {
		t.Errorf("without it again the address is %s", ip)
	}
	i.ok("rm", "-f", during, before, after)
	i.nothing("lan")
	if err := os.WriteFile(filepath.Join(i.conf, "10-lan.conflist"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := i.code(125, "run", "--rm", image, "true"); !strings.Contains(r.err, "network not ready") || !strings.Contains(r.err, "10-lan.conflist") {
		t.Errorf("a broken configuration: %q", r.err)
	}
}

// TestCNIFails: a plugin that is not there, an address range that is used up; nothing is
// left, and the error says where it happened.
func TestCNIFails(t *testing.T) {
	i := startIsland(t, "--network=cni")
	if r := i.code(125, "run", "--rm", image, "true"); !strings.Contains(r.err, "no CNI configuration in "+i.conf) {
		t.Errorf("without a configuration: %q", r.err)
	}
	i.configure("10-lan.conflist", "lan", "10.93.0.0/30", `{"type":"no-such-plugin"}`)
	if r := i.code(125, "run", "--rm", image, "true"); !strings.Contains(r.err, "network lan") || !strings.Contains(r.err, "no-such-plugin") {
		t.Errorf("a plugin that is not there: %q", r.err)
	}
	i.configure("10-lan.conflist", "lan", "10.93.0.0/30")
	i.ok("run", "--rm", image, "true")
	only := i.container("only")
	if r := i.code(125, "run", "--rm", image, "true"); !strings.Contains(r.err, "network lan") || !strings.Contains(r.err, "no IP addresses available") {
		t.Errorf("a range that is used up: %q", r.err)
	}
	i.ok("rm", "-f", only)
	i.nothing("lan")
}

// TestCNIPod: a pod with further networks by the annotation, and a host port.
func TestCNIPod(t *testing.T) {
	i := startIsland(t)
	i.configure("10-lan.conflist", "lan", "10.93.0.0/24", `{"type":"portmap","capabilities":{"portMappings":true}}`)
	i.configure("20-store.conflist", "store", "10.94.0.0/24")
	pod := i.name("pod")
	i.apply(`
apiVersion: v1
kind: Pod
metadata:
  name: `+pod+`
  annotations: {k8s.v1.cni.cncf.io/networks: store@fast}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: a, image: `+image+`, command: [httpd], ports: [{containerPort: 80, hostPort: 8093}]}]
`, pod)
	if ip := i.addressOf(pod+"/a", "fast"); !strings.HasPrefix(ip, "10.94.0.") {
		t.Errorf("the further network's address is %s", ip)
	}
	i.answers("10.93.0.1:8093")
	if got := i.ok("port", pod+"/a"); !strings.Contains(got, "8093") {
		t.Errorf("port says %q", got)
	}
	if got := i.ok("network", "ls"); !regexp.MustCompile(`(?m)^lan +cni .* 1$`).MatchString(got) {
		t.Errorf("network ls says\n%s", got)
	}
	if r := i.code(1, "network", "create", "store"); !strings.Contains(r.err, "a CNI configuration has this name") {
		t.Errorf("%q", r.err)
	}
	i.ok("delete", "pod", pod)
	i.nothing("lan")
	i.nothing("store")
}
