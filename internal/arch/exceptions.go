package arch

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed exceptions.txt
var exceptionsText string

// Exception is one line of exceptions.txt: "rule subject: reason", or for a limit
// "rule subject = figure: reason".
type Exception struct {
	Rule, Subject string
	// Figure is 0 for rules that are not limits.
	Figure int
	Reason string
}

// Exceptions returns the lines of exceptions.txt, by rule and subject.
func Exceptions() (map[[2]string]Exception, error) {
	all := map[[2]string]Exception{}
	for i, line := range strings.Split(exceptionsText, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		e, err := parseException(line)
		if err != nil {
			return nil, fmt.Errorf("exceptions.txt:%d: %w", i+1, err)
		}
		key := [2]string{e.Rule, e.Subject}
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("exceptions.txt:%d: %s %s stands there twice", i+1, e.Rule, e.Subject)
		}
		all[key] = e
	}
	return all, nil
}

func parseException(line string) (Exception, error) {
	head, reason, ok := strings.Cut(line, ": ")
	if !ok || len(reason) < 10 {
		return Exception{}, fmt.Errorf("no reason after the colon: %q", line)
	}
	e := Exception{Reason: reason}
	if h, figure, limit := strings.Cut(head, " = "); limit {
		n, err := strconv.Atoi(figure)
		if err != nil {
			return Exception{}, fmt.Errorf("figure: %w", err)
		}
		head, e.Figure = h, n
	}
	if e.Rule, e.Subject, ok = strings.Cut(head, " "); !ok {
		return Exception{}, fmt.Errorf("want \"rule subject\": %q", head)
	}
	return e, nil
}
