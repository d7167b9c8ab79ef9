package toolbox

import (
	"strings"
	"testing"
)

// TestHelp asks every tool for its page.
func TestHelp(t *testing.T) {
	for _, tool := range tools() {
		t.Run(tool.Name, func(t *testing.T) {
			t.Parallel()
			if tool.Does == "" {
				t.Error("the list does not say what it does")
			}
			cmd := command(t, tool.Name, "--help")
			if tool.Name == "true" || tool.Name == "false" {
				return // in the image they are programs that cannot print
			}
			out, err := cmd.CombinedOutput()
			if tool.Literal {
				if want := map[string]string{"echo": "--help\n"}[tool.Name]; tool.Name != "[" && (string(out) != want || err != nil) {
					t.Errorf("%q, %v; POSIX gives it no options", out, err)
				}
				return
			}
			if !strings.HasPrefix(string(out), "usage: "+tool.Name) || strings.Count(string(out), "\n") < 2 || err != nil {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
}

// TestUnknownOptions holds every tool that has options to its manual's word for others.
func TestUnknownOptions(t *testing.T) {
	own := map[string]string{ // what they say in place of "invalid option"
		"chmod": "invalid option -- '", "dd": "unrecognized operand", "env": "invalid option '", "find": "unknown predicate", "stty": "invalid argument",
		"ps": "unknown argument", "kill": "bad signal name", "killall": "bad signal name", "curl": "is unknown", "sh": "invalid option",
	}
	takesAll := []string{"printf", "yes", "true", "false", "echo", "test", "[", "seq", "mq", "shm", "sync", "clear", "reset", "uptime", "nproc", "ip", "pkill"}
	for _, tool := range tools() {
		t.Run(tool.Name, func(t *testing.T) {
			t.Parallel()
			for _, name := range takesAll {
				if name == tool.Name {
					return
				}
			}
			want := own[tool.Name]
			if want == "" {
				want = "invalid option -- '!'"
			}
			out, err := command(t, tool.Name, "-!").CombinedOutput()
			wantCode := max(tool.Misused, 1)
			if !strings.HasPrefix(string(out), tool.Name+": ") || !strings.Contains(string(out), want) || exitCode(err) != wantCode {
				t.Errorf("%q, %v; want %q and code %d", out, err, want, wantCode)
			}
		})
	}
}

func TestMulticall(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string // a part of the output
		code int
	}{
		{"by argument", []string{"carob-toolbox", "echo", "x"}, "x\n", 0},
		{"by its short name", []string{"toolbox", "echo", "x"}, "x\n", 0},
		{"unknown tool", []string{"toolbox", "nosuch\x1b[31m"}, "toolbox: no tool 'nosuch?[31m'; toolbox --help lists them\n", 127},
		{"list", []string{"toolbox"}, "\nhttpd      serve httpbin's basic endpoints", 0},
		{"list when asked", []string{"carob-toolbox", "--help"}, "\nsleep      wait\n", 0},
		{"help by argument", []string{"toolbox", "ls", "--help"}, "usage: ls ", 0},
		{"true", []string{"true"}, "", 0},
		{"true by argument", []string{"toolbox", "true"}, "", 0},
		{"false", []string{"false"}, "", 1},
		{"false by argument", []string{"toolbox", "false"}, "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, err := command(t, test.args[0], test.args[1:]...).CombinedOutput()
			if !strings.Contains(string(out), test.want) || exitCode(err) != test.code {
				t.Errorf("%q, %v; want %q, %d", out, err, test.want, test.code)
			}
		})
	}
	t.Run("list has every tool once", func(t *testing.T) {
		out, err := command(t, "toolbox").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, tool := range tools() {
			if strings.Count(string(out), "\n"+tool.Name+" ") != 1 {
				t.Errorf("%s is not there once", tool.Name)
			}
		}
	})
}
