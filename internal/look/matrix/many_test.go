package matrix

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
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
	time.Sleep(time.Second) // until unshare has become sleep everywhere
}

// cpu is the time that this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestFiveThousandProcesses holds the time of a whole look at a full host: what passed,
// or on a machine that does other things too what was computed, by its cores. Setting it
// up takes seconds: it runs where CAROB_TEST_PROCESSES says how many.
func TestFiveThousandProcesses(t *testing.T) {
	testenv.Require(t, testenv.Root)
	n, err := strconv.Atoi(os.Getenv("CAROB_TEST_PROCESSES"))
	if err != nil {
		t.Skip("needs CAROB_TEST_PROCESSES=5000")
	}
	many(t, n)
	best := time.Hour
	for i := range 10 {
		start, used := time.Now(), cpu()
		h, err := look.Read(t.Context(), look.Options{Lineage: true, Kept: i >= 5})
		if err != nil {
			t.Fatal(err)
		}
		read := time.Since(start)
		m := Build(h, Options{All: true, Maps: h.Maps}) // as look ns does, from the fifth on with --all
		all, used := time.Since(start), cpu()-used
		t.Logf("%d processes, %d rows: read in %v, with the matrix %v; %v of CPU", len(h.Processes), len(m.Rows), read, all, used)
		if len(h.Processes) < n || len(m.Rows) < n/10 {
			t.Fatalf("%d processes and %d rows, want %d and %d", len(h.Processes), len(m.Rows), n, n/10)
		}
		best = min(best, all, used/time.Duration(runtime.GOMAXPROCS(0)))
	}
	if limit := 300 * time.Millisecond * time.Duration(max(1, n/5000)); best > limit {
		t.Errorf("%v, want less than %v", best, limit)
	}
}

// BenchmarkRead looks at this host as it is.
func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		h, err := look.Read(b.Context(), look.Options{})
		if err != nil {
			b.Fatal(err)
		}
		Build(h, Options{})
	}
}
