package cli

import (
	"os"
	"strings"
	"testing"
)

// TestUsageSaysThingsOnce: no usage line has its flags twice, and each fits a terminal.
func TestUsageSaysThingsOnce(t *testing.T) {
	for _, words := range [][]string{{"run"}, {"ps"}, {"pod"}, {"apply"}, {"events"}, {"network"}} {
		r := line(t, newFake(nil), "", append(words, "--help")...)
		if r.code != 0 {
			t.Fatalf("%v: %+v", words, r)
		}
		_, rest, _ := strings.Cut(r.out, "Usage:\n")
		usage, _, _ := strings.Cut(rest, "\n\n")
		if strings.Count(strings.ToLower(usage), "[flags]") > 1 || strings.Contains(usage, "\n") || len(usage) > 80 {
			t.Errorf("%v: %q", words, usage)
		}
	}
}

// Every command has help with an example, and says it without a daemon.
func TestHelp(t *testing.T) {
	a := &app{Env: Env{Stdout: os.Stdout, LookupEnv: os.LookupEnv}}
	var walk func(path []string)
	walk = func(path []string) {
		root := a.root()
		c, _, err := root.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range c.Commands() {
			if sub.Name() == "help" || sub.Name() == "completion" {
				continue
			}
			if sub.Example == "" || sub.Short == "" {
				t.Errorf("%s: no example or no summary", sub.CommandPath())
			}
			got := with(t, nil, "", append(append([]string{}, path...), sub.Name(), "--help")...)
			if got.code != 0 || !strings.Contains(got.out, "Examples:") {
				t.Errorf("%s: %+v", sub.CommandPath(), got)
			}
			walk(append(append([]string{}, path...), sub.Name()))
		}
	}
	walk(nil)
}
