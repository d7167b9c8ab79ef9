package arch

import (
	"fmt"
	"sort"
	"testing"
)

// source is the module this test belongs to.
func source(t *testing.T) *Tree {
	t.Helper()
	tree, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// A finding is one place that breaks a rule.
type finding struct {
	// subject is what an exception would name.
	subject string
	// figure is the measured size for limits, 0 otherwise.
	figure int
	text   string
}

// report fails the test for every finding without an exception, and for every
// exception without a finding.
func report(t *testing.T, rule string, found []finding) {
	t.Helper()
	all, err := Exceptions()
	if err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{}
	sort.Slice(found, func(i, j int) bool { return found[i].subject < found[j].subject })
	for _, f := range found {
		e, excepted := all[[2]string{rule, f.subject}]
		if excepted {
			needed[f.subject] = true
		}
		if !excepted || f.figure > e.Figure {
			t.Errorf("%s %s: %s", rule, f.subject, f.text)
		}
		if excepted && f.figure < e.Figure {
			t.Errorf("%s %s: is %d by now; lower the %d in exceptions.txt", rule, f.subject, f.figure, e.Figure)
		}
	}
	for key := range all {
		if key[0] == rule && !needed[key[1]] {
			t.Errorf("%s %s: the exception is not needed any more; take it out", rule, key[1])
		}
	}
}

// limit appends a finding when n is more than most.
func limit(found []finding, subject, unit string, n, most int) []finding {
	if n <= most {
		return found
	}
	return append(found, finding{subject, n, fmt.Sprintf("%d %s, at most %d", n, unit, most)})
}

// rules are all the names that exceptions.txt may use.
var rules = map[string]bool{
	"direction": true, "command line": true, "pure": true, "kernel": true, "supervisor": true, "fan-out": true,
	"comment": true, "doc": true, "name": true, "todo": true, "init": true, "mutable": true,
	"file": true, "function": true, "parameters": true, "complexity": true, "nesting": true,
	"methods": true, "package": true,
}

func TestExceptionsNameRules(t *testing.T) {
	all, err := Exceptions()
	if err != nil {
		t.Fatal(err)
	}
	for key := range all {
		if !rules[key[0]] {
			t.Errorf("exceptions.txt: there is no rule %q", key[0])
		}
	}
}
