package nft

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// inside marks the process that has a network namespace of its own.
const inside = "CAROB_TEST_IN_NETNS"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Stdout, c.Stderr, c.Env = os.Stdout, os.Stderr, append(os.Environ(), inside+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := c.Run(); c.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(c.ProcessState.ExitCode())
}

func open(t *testing.T) *Table {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Network)
	table, err := Open("carob-test", "cxtest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func elements(n int) (e Elements) {
	for i := range n {
		v4 := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		v6 := netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(i >> 8), 15: byte(i)})
		for _, ip := range []netip.Addr{v4, v6} {
			e.Sources = append(e.Sources, Source{Link: fmt.Sprint("cxtest", i), Address: ip})
			e.Ports = append(e.Ports, Port{Protocol: 6, HostPort: uint16(1 + i), Pod: ip, PodPort: 80})
		}
		e.Ports = append(e.Ports, Port{Protocol: 17, Host: netip.MustParseAddr("192.0.2.1"), HostPort: uint16(1 + i), Pod: v4, PodPort: 53})
	}
	return e
}

// TestTable: what is added can be added again and removed once; a table that is not there
// says so.
func TestTable(t *testing.T) {
	table := open(t)
	one := elements(1)
	if err := table.Add(one); !fault.Is(err, fault.NotFound) {
		t.Errorf("without a table: %v", err)
	}
	must(t, table.Drop())
	all := Content{
		Networks: [][]netip.Prefix{{netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("fd00::/64")}},
		Uplinks:  []string{"eth0", "a-name-of-15-by"}, Elements: elements(3000), // more than one message holds
	}
	must(t, table.Replace(all))
	must(t, table.Replace(all))
	must(t, table.Add(one))
	must(t, table.Remove(one))
	if err := table.Remove(one); !fault.Is(err, fault.NotFound) {
		t.Errorf("removed twice: %v", err)
	}
	must(t, table.Drop())
}

// TestWatch: others' changes of the table are told, once for each transaction; one's own
// and those of other tables are not.
func TestWatch(t *testing.T) {
	table, other := open(t), open(t)
	ctx, cancel := context.WithCancel(t.Context())
	changes := make(chan bool, 100)
	ended := make(chan error)
	go func() { ended <- table.Watch(ctx, func() { changes <- true }) }()
	await := func() bool {
		select {
		case <-changes:
			return true
		case <-time.After(testenv.Patience(5 * time.Second)):
			return false
		}
	}
	for !t.Failed() { // until Watch has begun to listen
		must(t, other.Replace(Content{Elements: elements(1)}))
		select {
		case <-changes:
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}
	for len(changes) > 0 {
		<-changes
	}
	strange, err := Open("carob-other", "cxtest")
	must(t, err)
	defer strange.Close()
	must(t, table.Replace(Content{Elements: elements(2)}))
	must(t, table.Remove(elements(1)))
	must(t, strange.Replace(Content{}))
	must(t, strange.Drop())
	must(t, other.Add(elements(1))) // the only one that counts
	if !await() {
		t.Error("another's change is not told")
	}
	if n := len(changes); n != 0 {
		t.Errorf("%d changes too many are told", n)
	}
	must(t, other.Drop())
	if !await() {
		t.Error("the end of the table is not told")
	}
	cancel()
	must(t, <-ended)
}
