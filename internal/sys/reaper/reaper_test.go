package reaper

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain lets this program be the init that tests run.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		code, err := Run(os.Args[2:])
		if err != nil {
			os.Stderr.WriteString(err.Error())
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"sh", "-c", "echo out; echo err >&2; exit 7"}, 7, "out\n", "err\n"},
		{[]string{"sh", "-c", "cat"}, 0, "in", ""},
		{[]string{"sh", "-c", "kill -9 $$"}, 137, "", ""},
		{[]string{"sh", "-c", "trap 'echo got it; exit 3' USR1; kill -USR1 $PPID; while :; do sleep 0.01; done"}, 3, "got it\n", ""},
		// It is the subreaper of what the subshell leaves.
		{[]string{"sh", "-c", "p=$PPID; (sh -c 'while [ $(cut -d\" \" -f4 /proc/$$/stat) != '$p' ]; do sleep 0.01; done; echo adopted' &) | cat"}, 0, "adopted\n", ""},
		{[]string{"/nosuch/command"}, 127, "", "/nosuch/command"},
		{[]string{"nosuchcommand"}, 127, "", "nosuchcommand"},
		{[]string{"/"}, 126, "", "/"},
		{[]string{"/etc/passwd"}, 126, "", "/etc/passwd"},
		{nil, 126, "", "no command"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			c := exec.Command(os.Args[0], append([]string{"init"}, test.args...)...)
			var out, errs strings.Builder
			c.Stdin, c.Stdout, c.Stderr = strings.NewReader("in"), &out, &errs
			err := c.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := c.ProcessState.ExitCode(); code != test.code || out.String() != test.out || !strings.Contains(errs.String(), test.errs) {
				t.Errorf("exit %d, %q, %q", code, out.String(), errs.String())
			}
		})
	}
}
