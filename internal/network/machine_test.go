package network

import (
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"carob/internal/plan/address"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/store"
	"carob/internal/testenv"
)

var long = flag.Bool("long", false, "run the long versions: 500 pods")

// inside marks the process that has a network namespace of its own, in which all tests
// run that need root: what they do to the host, they do to that one.
const inside = "CAROB_TEST_IN_NETNS"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Env = append(os.Environ(), inside+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := c.Run()
	if c.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(c.ProcessState.ExitCode())
}

// holder ends with this process: its input is a pipe that nobody else has.
func holder() *exec.Cmd {
	c := exec.Command("cat")
	_, _ = c.StdinPipe() // it cannot fail before the start but for a lack of descriptors
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return c
}

// sandbox is a process that holds a network namespace.
func sandbox(t testing.TB) int {
	t.Helper()
	c := holder()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	return c.Process.Pid
}

// machine is a host with its records.
type machine struct {
	leases, networks *store.Store
}

func newMachine(t testing.TB) machine {
	testenv.Require(t, testenv.Root, testenv.Network)
	must(t, run("ip", "link", "set", "lo", "up"))
	// Pods of the test before may still be going, and its table may have been left for them.
	eventually(t, "the links of earlier tests go", func() bool {
		out, err := exec.Command("ip", "-br", "link", "show", "type", "veth").Output()
		return err == nil && len(out) == 0
	})
	c, err := nftables.New()
	must(t, err)
	for _, table := range tables(t) {
		c.DelTable(table)
	}
	must(t, c.Flush())
	var m machine
	if m.leases, err = store.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if m.networks, err = store.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return m
}

// daemon is one life of the network on the machine.
func (m machine) daemon(t testing.TB) *Builtin { return m.with(t, m.leases) }

// with is a daemon that keeps leases in another store.
func (m machine) with(t testing.TB, leases Store) *Builtin {
	t.Helper()
	b := Open(Config{
		Instance: "test", Pools: []netip.Prefix{netip.MustParsePrefix("10.201.0.0/16"), address.DefaultPool6("test")},
		Leases: leases, Networks: m.networks, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func run(words ...string) error {
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, out)
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func attachment(id string, pid int, ports ...spec.Port) pod.Attachment {
	return pod.Attachment{PodID: id, Name: id, Namespace: "default", Pid: pid, Spec: &spec.Pod{Ports: ports}}
}

// look lists what is on the host for pods: links, routes, rules, leases, and
// what was changed of it.
func (m machine) look(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, words := range [][]string{
		{"ip", "-br", "link"}, {"ip", "route"}, {"ip", "-6", "route", "show", "table", "main"}, {"ip", "-o", "address"},
		{"sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.accept_ra"},
	} {
		out, err := exec.Command(words[0], words[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", words, err)
		}
		b.Write(out)
	}
	for _, table := range tables(t) {
		fmt.Fprintln(&b, "table", table.Name)
	}
	must(t, m.leases.Load(leaseKind, func(id string, _ []byte) error { fmt.Fprintln(&b, "lease", id); return nil }))
	must(t, m.leases.Load(hostKind, func(id string, _ []byte) error { fmt.Fprintln(&b, "host", id); return nil }))
	return b.String()
}

func tables(t testing.TB) []*nftables.Table {
	t.Helper()
	c, err := nftables.New()
	must(t, err)
	all, err := c.ListTables()
	must(t, err)
	return all
}

// published returns the ports in the map of those that are for every address.
func published(t testing.TB) (ports []int) {
	t.Helper()
	c, err := nftables.New()
	must(t, err)
	for _, table := range tables(t) {
		set, err := c.GetSetByName(table, "any4")
		must(t, err)
		elements, err := c.GetSetElements(set)
		must(t, err)
		for _, e := range elements {
			ports = append(ports, int(e.Key[4])<<8|int(e.Key[5]))
		}
	}
	return ports
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testenv.Patience(20 * time.Second)); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}
