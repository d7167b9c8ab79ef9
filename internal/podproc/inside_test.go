package podproc

import (
	"bytes"
	"encoding/binary"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"carob/internal/sys/loop"
	"carob/internal/sys/spawn"
)

// TestEndBeforeReport has the process of an exec end, and be reaped, before its middle
// process says that it is one.
func TestEndBeforeReport(t *testing.T) {
	for name, last := range map[string][]spawn.Report{
		"executed": nil,
		"failed":   {{Kind: spawn.ReportFailed, Step: 3, Value: uint64(loop.ENOENT)}},
	} {
		t.Run(name, func(t *testing.T) {
			v := supervisor(t)
			r, w, e := loop.Pipe()
			if e != 0 || loop.Unblock(r) != 0 {
				t.Fatal(e)
			}
			p := v.newProcess(7, 0)
			p.report = r
			pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 5"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for loop.Dead() == 0 {
				time.Sleep(time.Millisecond)
			}
			v.sweep(0)
			for _, report := range append([]spawn.Report{{Kind: spawn.ReportPid, Value: uint64(pid)}}, last...) {
				var b bytes.Buffer
				if err := binary.Write(&b, binary.NativeEndian, report); err != nil {
					t.Fatal(err)
				}
				if n, err := syscall.Write(w, b.Bytes()); n != spawn.ReportSize || err != nil {
					t.Fatal(n, err)
				}
			}
			loop.Close(w)
			v.conn.fd = -1
			if last != nil { // somebody waits for the answer
				pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer syscall.Close(pair[0])
				defer syscall.Close(pair[1])
				v.conn.fd = pair[0]
			}
			v.reports(p)
			switch {
			case last == nil && (p.state != ended || p.status != 5<<8 || v.find(7) != p):
				t.Errorf("state %d, status %#x", p.state, p.status)
			case last != nil && (p.state != failed || v.procs != nil):
				t.Errorf("state %d, processes %v", p.state, v.procs)
			}
		})
	}
}

func supervisor(t *testing.T) *Supervisor {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	v, e := New(int(f.Fd()))
	if e != 0 {
		t.Fatal(e)
	}
	return v
}

func TestStampIsWhatTimeFormats(t *testing.T) {
	const layout = "2006-01-02T15:04:05.000000000Z07:00"
	for _, day := range []string{
		"1970-01-01", "1999-12-31", "2000-02-28", "2000-02-29", "2000-03-01", "2024-02-29", "2026-01-31",
		"2026-11-23", "2100-02-28", "2100-03-01", "2261-12-31",
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		for _, add := range []time.Duration{0, 1, 999_999_999, 12*time.Hour + 34*time.Minute + 56*time.Second + 7008, 24*time.Hour - 1} {
			at := at.Add(add)
			var b [stampSize]byte
			stamp(&b, at.UnixNano())
			if want := at.UTC().Format(layout); string(b[:]) != want {
				t.Errorf("got %s, want %s", b, want)
			}
		}
	}
}

func TestAppendUint(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 9: "9", 10: "10", 1<<64 - 1: "18446744073709551615"} {
		if got := string(appendUint(nil, n)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzParseKills(f *testing.F) {
	for _, s := range []string{"", "oom_kill 3", "oom_kill 3\n", "oom_kill \n", "oom_kill x\noom_kill 4", "oom_kill 99999999999999999999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { parseKills(b) })
}

func TestParseKills(t *testing.T) {
	for text, want := range map[string]uint64{
		"":                                 0,
		"oom_kill 3":                       3,
		"oom_kill_disable 1\noom 5":        0,
		"a\noom_kill 12\nb":                12,
		"oom_group_kill 4":                 0,
		"oom_kill -1":                      0,
		"oom_kill 99999999999999999999999": 0,
	} {
		if got := parseKills([]byte(text)); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}
