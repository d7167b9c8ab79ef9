package sample

import (
	"bufio"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"carob/internal/look"
	"carob/internal/testenv"
)

// many starts processes, a tenth of them in network namespaces of their own, and ends
// them with the test: they are in a pid namespace whose first process is killed.
func many(t testing.TB, n int) {
	t.Helper()
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do sleep 10000 & i=$((i+1)); done
i=0; while [ $i -lt %d ]; do unshare --net sleep 10000 & i=$((i+1)); done; echo ready; wait`, n-n/10, n/10)
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

// cpu is the time that this process has computed.
func cpu(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCost holds what one sample of a host with 200 processes computes: a watcher that
// takes more than 2 % of a CPU at the usual interval would watch itself. What others
// let it wait for does not count.
func TestCost(t *testing.T) {
	testenv.Require(t, testenv.Root)
	many(t, 200)
	r, err := New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	const most = 40 * time.Millisecond // twice the bound of docs/spec.md: the race detector and neighbours cost, too
	best, limit, processes, nets := time.Hour, time.Duration(0), 0, 0
	for tries := 0; tries < 20 && best > limit; tries++ { // what else the machine does slows this, too
		used := cpu(t)
		for range whole { // one of them reads everything
			s, err := r.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			processes, nets = s.Machine.Processes, len(s.Nets)
		}
		best = min(best, (cpu(t)-used)/whole)
		limit = testenv.Patience(most) * time.Duration(processes) / 200
	}
	t.Logf("%d processes, %d networks: %v of CPU a sample", processes, nets, best)
	if processes < 200 || nets < 20 {
		t.Fatalf("%d processes and %d networks, want 200 and 20", processes, nets)
	}
	if best > limit {
		t.Errorf("%v of CPU, want less than %v", best, limit)
	}
}

// sender computes and sends, in a network of its own with a pair of interfaces and a
// neighbour that nobody is.
const sender = `ip link add name v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up && ip addr add 192.0.2.1/24 dev v0 &&
ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0 && exec 3>/dev/udp/192.0.2.9/9 && while :; do echo a line >&3; done`

// TestRealHost takes samples of this machine: a process that computes and sends in a
// network of its own is seen to, and the host's network is not charged for it.
func TestRealHost(t *testing.T) {
	testenv.Require(t, testenv.Root)
	for _, tool := range []string{"ip", "bash", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs " + tool)
		}
	}
	cmd := exec.Command("unshare", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", sender)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	r, err := New("", nil)
	if err != nil {
		t.Fatal(err)
	}
	var first, last uint64
	var from, to Net
	for end := time.Now().Add(20 * time.Second); last-first < 100_000_000 || to.Sent-from.Sent < 10_000; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in 20 s from %d to %d ns of CPU, from %v to %v bytes", first, last, from, to)
		}
		s, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, th := range s.Things {
			if th.Kind != look.ClassGroup || th.Use.CPU == nil || parent(r, th.PID) != cmd.Process.Pid {
				continue
			}
			if last, to = *th.Use.CPU, s.Nets[th.NS[look.Net]]; first == 0 {
				first, from = last, to
			}
			if th.NS[look.Net] == s.Machine.NS[look.Net] {
				t.Fatal("it is in the host's network")
			}
		}
	}
}

func parent(r *Reader, pid int) int {
	if p := r.host.Process(pid); p != nil {
		return p.PPID
	}
	return 0
}

// BenchmarkRead samples this host as it is.
func BenchmarkRead(b *testing.B) {
	r, err := New("", nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := r.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
