package network

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestThroughput compares what bytes cost on their way between pods, and between a pod and
// the host, with what they cost on pairs that are made by hand, without any rules. The cost
// is CPU time of one thread that sends and receives in turn, so that whoever else uses the
// machine does not count for much; the ways take turns.
func TestThroughput(t *testing.T) {
	ways := newWays(t)
	turns, most := 80, 2.5
	if *long { // 1.12 to 1.17 and 1.09 to 1.14 were seen: connection tracking, for the most part
		turns, most = 600, 1.25
	}
	costs := map[string][]float64{}
	for range turns {
		for name, w := range ways {
			costs[name] = append(costs[name], w.cost(t, 4<<20))
		}
	}
	usual := map[string]float64{}
	for name, all := range costs {
		slices.Sort(all)
		usual[name] = all[len(all)/4]
		t.Logf("%s: %.0f ms of CPU time per GB", name, usual[name]*1e3)
	}
	for ours, theirs := range map[string]string{"pod to pod": "two pairs by hand", "pod to host": "a pair by hand"} {
		ratio := usual[ours] / usual[theirs]
		t.Logf("%s costs %.2f times %s", ours, ratio, theirs)
		if ratio > most {
			t.Errorf("%s costs %.2f times %s, at most %.2f", ours, ratio, theirs, most)
		}
	}
}

// TestSpeed is TestThroughput by the clock: one goroutine sends, another one receives, and
// what a second brings is compared. It wants a quiet machine.
func TestSpeed(t *testing.T) {
	if !*long {
		t.Skip("compares by the clock: with -args -long, on a machine that does nothing else")
	}
	ways := newWays(t)
	speeds := map[string][]float64{}
	for range 60 {
		for name, w := range ways {
			speeds[name] = append(speeds[name], w.speed(t, 256<<20))
		}
	}
	usual := map[string]float64{}
	for name, all := range speeds {
		slices.Sort(all)
		usual[name] = all[len(all)/2]
		t.Logf("%s: %.2f GB/s", name, usual[name])
	}
	for ours, theirs := range map[string]string{"pod to pod": "two pairs by hand", "pod to host": "a pair by hand"} {
		ratio := usual[ours] / usual[theirs]
		t.Logf("%s has %.2f of the speed of %s", ours, ratio, theirs)
		if ratio < 0.9 {
			t.Errorf("%s has %.2f of the speed of %s, at least 0.9", ours, ratio, theirs)
		}
	}
}

// newWays makes the ways that are compared.
func newWays(t *testing.T) map[string]way {
	t.Helper()
	m := newMachine(t)
	b := m.daemon(t)
	one, two := sandbox(t), sandbox(t)
	_, err := b.Attach(t.Context(), attachment("one", one))
	must(t, err)
	c, err := b.Attach(t.Context(), attachment("two", two))
	must(t, err)
	router, left, right := sandbox(t), sandbox(t), sandbox(t)
	byHand(t, router, left, 1)
	byHand(t, router, right, 2)
	must(t, within(router, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }))
	return map[string]way{
		"pod to pod": newWay(t, one, two, c[0].IPs[0]), "pod to host": newWay(t, one, os.Getpid(), c[0].Gateways[0]),
		"two pairs by hand": newWay(t, left, right, "10.202.2.2"), "a pair by hand": newWay(t, left, router, "10.202.1.1"),
	}
}

// speed is how many gigabytes a second brings, tried with n bytes.
func (w way) speed(t *testing.T, n int) float64 {
	t.Helper()
	began, failed := time.Now(), make(chan error, 1)
	move := func(fd int, step func(int, []byte) (int, error), events int16) error {
		piece := make([]byte, 256<<10)
		for done := 0; done < n; {
			k, err := step(fd, piece[:min(len(piece), n-done)])
			if err == unix.EAGAIN {
				_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 10_000)
				k = 0
			}
			if err != nil && err != unix.EINTR {
				return err
			}
			done += max(k, 0)
		}
		return nil
	}
	go func() { failed <- move(w.from, unix.Write, unix.POLLOUT) }()
	must(t, move(w.to, unix.Read, unix.POLLIN))
	must(t, <-failed)
	return float64(n) / time.Since(began).Seconds() / 1e9
}

// byHand connects a process's namespace with another's by a pair with addresses and a
// default route: 10.202.N.2 behind 10.202.N.1.
func byHand(t *testing.T, host, pod, n int) {
	t.Helper()
	commands := func(pid int, all ...string) {
		t.Helper()
		must(t, within(pid, func() error {
			for _, words := range all {
				if err := run(strings.Fields(words)...); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	commands(host,
		fmt.Sprintf("ip link add h%d type veth peer name eth0 netns %d", n, pod),
		fmt.Sprintf("ip address add 10.202.%d.1/24 dev h%d", n, n), fmt.Sprintf("ip link set h%d up", n))
	commands(pod,
		fmt.Sprintf("ip address add 10.202.%d.2/24 dev eth0", n), "ip link set eth0 up", fmt.Sprintf("ip route add default via 10.202.%d.1", n))
}

// within runs f on a thread in a process's network namespace; the thread ends with it. The
// main thread, which cannot, leaves it to another.
func within(pid int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		if unix.Gettid() == os.Getpid() {
			err := within(pid, f)
			runtime.UnlockOSThread()
			done <- err
			return
		}
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			_ = ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// way is a connection whose two ends this process has.
type way struct{ from, to int }

// newWay connects from one process's namespace to an address in another's. It does not listen
// at all addresses: Go looks once in a process whether IPv6 is among them, by its loopback,
// and in a namespace where that is down it is not, here and ever after.
func newWay(t *testing.T, from, to int, address string) way {
	t.Helper()
	var l net.Listener
	must(t, within(to, func() (err error) { l, err = net.Listen("tcp", net.JoinHostPort(address, "0")); return err }))
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var c net.Conn
	eventually(t, "a connection to "+address, func() bool { // a link needs a moment to be ready
		return within(from, func() (err error) {
			c, err = net.DialTimeout("tcp", net.JoinHostPort(address, port), time.Second)
			return err
		}) == nil
	})
	other, err := l.Accept()
	must(t, err)
	return way{raw(t, c), raw(t, other)}
}

// raw is a connection's descriptor, which does not wait.
func raw(t *testing.T, c net.Conn) int {
	t.Helper()
	f, err := c.(*net.TCPConn).File()
	must(t, err)
	must(t, c.Close())
	t.Cleanup(func() { _ = f.Close() })
	fd := int(f.Fd())
	must(t, unix.SetNonblock(fd, true))
	return fd
}

// cost is the CPU time in seconds that a gigabyte takes, tried with n bytes.
func (w way) cost(t *testing.T, n int) float64 {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	piece := make([]byte, 256<<10)
	sent, got, began := 0, 0, cpuTime(t)
	for deadline := time.Now().Add(time.Minute); got < n; {
		if m, err := unix.Write(w.from, piece); err == nil {
			sent += m
		} else if err != unix.EAGAIN {
			t.Fatal(err)
		}
		for got < sent {
			m, err := unix.Read(w.to, piece)
			if err == unix.EAGAIN {
				break
			}
			must(t, err)
			got += m
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d bytes in a minute", got, n)
		}
	}
	return (cpuTime(t) - began).Seconds() / float64(got) * 1e9
}

// cpuTime is what the thread has used.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var at unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &at))
	return time.Duration(at.Nano())
}
