package network

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/plan/address"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/store"
	"carob/internal/testenv"
)

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

// sandbox is a process that holds a network namespace.
func sandbox(t testing.TB) int {
	t.Helper()
	c := exec.Command("sleep", "1000")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
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
	testenv.Require(t, testenv.Root)
	must(t, run("ip", "link", "set", "lo", "up"))
	var m machine
	var err error
	if m.leases, err = store.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if m.networks, err = store.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	return m
}

// daemon is one life of the network on the machine.
func (m machine) daemon(t testing.TB) *Builtin {
	t.Helper()
	b, err := Open(Config{
		Instance: "test", Pools: []netip.Prefix{netip.MustParsePrefix("10.201.0.0/16"), address.DefaultPool6("test")},
		Leases: m.leases, Networks: m.networks, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
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

func BenchmarkAttachDetach(b *testing.B) {
	m := newMachine(b)
	n := m.daemon(b)
	keeper := sandbox(b)
	if _, err := n.Attach(b.Context(), attachment("keeper", keeper)); err != nil {
		b.Fatal(err)
	}
	var attach, detach []time.Duration
	for i := range b.N {
		id := fmt.Sprint("pod", i)
		pid := sandbox(b)
		begin := time.Now()
		if _, err := n.Attach(b.Context(), attachment(id, pid)); err != nil {
			b.Fatal(err)
		}
		attach = append(attach, time.Since(begin))
		begin = time.Now()
		if err := n.Detach(context.Background(), id, ""); err != nil {
			b.Fatal(err)
		}
		detach = append(detach, time.Since(begin))
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for name, all := range map[string][]time.Duration{"attach": attach, "detach": detach} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-median-µs")
	}
}
