package procs

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/status"
)

var (
	now  = time.Date(2026, 7, 9, 12, 0, 0, 0, time.UTC)
	some = []status.Process{
		{Pid: 7, PPid: 1, PGID: 7, SID: 7, UID: 1879048192, State: "S", RSS: 4 << 20, VSZ: 8 << 20, CPU: 90e9, Started: now.Add(-time.Hour).Unix(),
			Command: "sh -c x\x1b[2J", Comm: "sh", TTY: "pts/0", Foreground: true, Threads: 2},
		{Pid: 1234, PPid: 7, PGID: 7, SID: 7, State: "R", Started: now.AddDate(0, -1, 0).Unix(), CPU: 100e3 * 1e9, Command: "sleep 9", Comm: "sleep", Nice: 5, Threads: 1},
	}
	facts = Facts{Now: now, Memory: 400 << 20, User: func(uid uint32) string { return map[uint32]string{0: "root"}[uid] }}
)

func TestTables(t *testing.T) {
	for options, want := range map[string]string{
		"-e":                    "PID TTY TIME CMD|7 pts/0 00:01:30 sh|1234 ? 1-03:46:40 sleep",
		"-ef":                   "UID PID PPID C STIME TTY TIME CMD|1879048192 7 1 2 11:00 pts/0 00:01:30 sh -c x [2J|0 1234 7 3 Jun09 ? 1-03:46:40 sleep 9",
		"ax":                    "PID TTY STAT TIME COMMAND|7 pts/0 Ssl+ 1:30 sh -c x [2J|1234 ? RN 1666:40 sleep 9",
		"aux":                   "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND|1879048192 7 2.5 1.0 8192 4096 pts/0 Ssl+ 11:00 1:30 sh -c x [2J|root 1234 3.9 0.0 0 0 ? RN Jun09 1666:40 sleep 9",
		"-o pid,cmd":            "PID CMD|7 sh -c x [2J|1234 sleep 9",
		"-eo pid,comm":          "PID COMMAND|7 sh|1234 sleep",
		"-opid -o etime,etimes": "PID ELAPSED ELAPSED|7 01:00:00 3600|1234 30-00:00:00 2592000",
		"o pid,ni h":            "7 0|1234 5",
		"-o pid=,comm=":         "7 sh|1234 sleep",
		"--format pid=NUMBER":   "NUMBER|7|1234",
		"-ww --no-headers -o S": "S|R",
		"-o user,lstart,state":  "USER STARTED S|1879048192 Thu Jul 9 11:00:00 2026 S|root Tue Jun 9 12:00:00 2026 R",
	} {
		t.Run(options, func(t *testing.T) {
			table, err := Parse(strings.Fields(options))
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := table.Write(&b, some, facts); err != nil {
				t.Fatal(err)
			}
			var lines []string
			for l := range strings.Lines(b.String()) {
				lines = append(lines, strings.Join(strings.Fields(l), " "))
			}
			if d := cmp.Diff(want, strings.Join(lines, "|")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAligned(t *testing.T) {
	table, err := Parse([]string{"-o", "pid,comm"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := table.Write(&b, some, facts); err != nil {
		t.Fatal(err)
	}
	if want := " PID COMMAND\n   7 sh\n1234 sleep\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

func TestRefused(t *testing.T) {
	for options, names := range map[string]string{
		"-o pid,frob": `"frob"`, "-Z": `"-Z"`, "-eZ": `"Z"`, "--sort=pid": `"--sort=pid"`, "aux --forest": `"--forest"`, "-o": `"-o"`, "-p 1": `"p"`, "1": `"1"`,
		"--frob": `"--frob"`, "web2": `"web2"`,
	} {
		if _, err := Parse(strings.Fields(options)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), names) {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-eo pid,cmd=X aux")
	f.Fuzz(func(t *testing.T, options string) {
		table, err := Parse(strings.Fields(options))
		if err == nil {
			err = table.Write(&bytes.Buffer{}, some, facts)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Error(err)
		}
	})
}
