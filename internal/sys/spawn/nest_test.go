package spawn

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	osexec "os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// TestNest starts children in a nest, in a process of its own since nothing else can then:
// they have nothing of the memory that Go's runtime had when the nest was made.
func TestNest(t *testing.T) {
	const mark = "SPAWN_TEST_NEST"
	if os.Getenv(mark) == "" {
		testenv.Require(t, testenv.Toolchain)
		cmd := osexec.Command("go", "test", "-count=1", "-run=^TestNest$", "-v", ".") // neither C nor the race detector in it
		cmd.Env = append(os.Environ(), mark+"=1", "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestNest")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	own := above(t, string(maps))
	n, e := NewNest()
	if e != 0 || n.nest == nil {
		t.Fatalf("no nest: %v", e)
	}
	for i := range 50 {
		var b Builder
		b.Step("maps")
		const room = 1 << 14
		text := b.Bytes(make([]byte, room))
		file := b.Call(unix.SYS_OPENAT, Imm(0), b.Str("/proc/self/maps"), Imm(unix.O_RDONLY)).Result()
		size := b.Call(unix.SYS_READ, file, text, Imm(room)).Result() // as much as the kernel gives at once
		b.Call(unix.SYS_WRITE, File(FileStdout), text, size)
		b.Step("another")
		b.Fork(0)
		stdout(&b)
		unblock(&b)
		exec(&b, "/bin/echo", fmt.Sprintf("end %d", i))
		out, reports, st := startAs(t, &b, n.Start)
		if len(reports) != 1 || reports[0].Kind != ReportPid || st != 0 || !strings.HasSuffix(out, fmt.Sprintf("\nend %d\n", i)) {
			t.Fatalf("reports %v, status %v\n%s", reports, st, out)
		}
		for _, m := range above(t, out) {
			if slices.ContainsFunc(own, func(o mapping) bool { return m.from < o.to && o.from < m.to }) {
				t.Fatalf("%#x-%#x is the runtime's\n%s", m.from, m.to, out)
			}
		}
	}
}

type mapping struct{ from, to uint64 }

// above lists the mappings in maps that lie above programEnd.
func above(t *testing.T, maps string) (all []mapping) {
	t.Helper()
	for s := bufio.NewScanner(strings.NewReader(maps)); s.Scan(); {
		if strings.Contains(s.Text(), "[vsyscall]") || strings.HasPrefix(s.Text(), "end ") {
			continue
		}
		var m mapping
		var may string
		if _, err := fmt.Sscanf(s.Text(), "%x-%x %s", &m.from, &m.to, &may); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		if m.from >= programEnd && may != "---p" { // what is only reserved may be anybody's yet
			all = append(all, m)
		}
	}
	return all
}
