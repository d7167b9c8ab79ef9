package ocicli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
)

func TestParse(t *testing.T) {
	options := []option{{"bundle", "b", isText, ""}, {"all", "a", isBool, ""}, {"env", "e", isList, ""}}
	for _, c := range []struct {
		line string
		most int
		want arguments
		err  string
	}{
		{line: "-b dir id", most: 1, want: arguments{map[string][]string{"bundle": {"dir"}}, []string{"id"}}},
		{line: "--bundle=dir --all id", most: 1, want: arguments{map[string][]string{"bundle": {"dir"}, "all": {"true"}}, []string{"id"}}},
		{line: "id 9 --all", most: 3, want: arguments{map[string][]string{"all": {"true"}}, []string{"id", "9"}}},
		{line: "id sh -c -a", most: 1, want: arguments{map[string][]string{}, []string{"id", "sh", "-c", "-a"}}},
		{line: "-e A=1 -e B=2 -- -x", most: 1, want: arguments{map[string][]string{"env": {"A=1", "B=2"}}, []string{"-x"}}},
		{line: "-a=false id -9", most: 2, want: arguments{map[string][]string{"all": {"false"}}, []string{"id", "-9"}}},
		{line: "--bundle a -b b", most: 1, want: arguments{map[string][]string{"bundle": {"b"}}, nil}},
		{line: "--nosuch", most: 1, err: "not defined: --nosuch"},
		{line: "-b", most: 1, err: "needs an argument: -b"},
		{line: "--all=perhaps", most: 1, err: "true or false"},
	} {
		got, err := parse(strings.Fields(c.line), options, c.most)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", c.line, err, c.err)
			}
			continue
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(arguments{})); err != nil || d != "" {
			t.Errorf("%s: %v %s", c.line, err, d)
		}
	}
}

// TestRun: what needs no container and no privilege.
func TestRun(t *testing.T) {
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"":               {0, "commands:"},
		"--version":      {0, "carob-oci version 1.2\nspec: 1."},
		"help":           {0, "--systemd-cgroup"},
		"exec --help":    {0, "--ignore-paused"},
		"nosuch":         {1, "no such command: nosuch"},
		"state":          {1, `"carob-oci state" takes ID`},
		"state a b":      {1, "takes ID"},
		"--log-format x": {1, "invalid log-format"},
		"checkpoint a":   {1, "container does not exist"},
		"state nosuch":   {1, "container does not exist"},
	} {
		t.Run(line, func(t *testing.T) {
			if os.Geteuid() != 0 && want.code == 1 && !strings.HasPrefix(line, "--") {
				t.Skip("without root every command is refused")
			}
			var out bytes.Buffer
			args := append([]string{"--root", t.TempDir()}, strings.Fields(line)...)
			if line == "--log-format x" {
				args = append(args, "list")
			}
			if code := Run(Program{Version: "1.2", Out: &out, Err: &out, Protect: safe}, args); code != want.code || !strings.Contains(out.String(), want.text) {
				t.Errorf("%d: %s, want %d: %s", code, out.String(), want.code, want.text)
			}
		})
	}
}

// safe is said of a test's program, which starts nothing.
func safe() error { return nil }

// TestLog: an engine reads the last line of the log, in either format.
func TestLog(t *testing.T) {
	for format, want := range map[string]string{"text": `level=error msg="`, "json": `{"level":"error","msg":"`} {
		var out bytes.Buffer
		log := filepath.Join(t.TempDir(), "log")
		Run(Program{Version: "1", Out: &out, Err: &out, Protect: safe}, []string{"--log", log, "--log-format", format, "--root", t.TempDir(), "state", "a/b"})
		if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %q, %v", format, text, err)
		}
	}
}

func FuzzParseFlags(f *testing.F) {
	f.Add("-b x id --all")
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range commands() {
			_, _ = parse(strings.Fields(line), c.options, c.most) // must end without a panic
		}
	})
}

// TestLimitsDoNotWrap: a number that its limit cannot hold is refused by the flag's name.
func TestLimitsDoNotWrap(t *testing.T) {
	for flag, value := range map[string]string{"blkio-weight": "65546", "cpu-share": "-1", "cpu-period": "-1"} {
		a := &app{args: arguments{flags: map[string][]string{flag: {value}}}}
		if _, err := a.limits(); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--"+flag) {
			t.Errorf("--%s %s: %v", flag, value, err)
		}
	}
	a := &app{args: arguments{flags: map[string][]string{"memory-swap": {"-1"}, "blkio-weight": {"1000"}}}}
	if l, err := a.limits(); err != nil || *l.Memory.Swap != -1 || *l.BlockIO.Weight != 1000 {
		t.Errorf("%+v, %v", l, err)
	}
}
