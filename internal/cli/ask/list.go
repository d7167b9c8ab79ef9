package ask

import "strings"

// List is the value of a flag that may be given several times. pflag's own writes what it
// holds as CSV whenever a flag is defined, 4 KB of buffer each time, which for all flags of
// all commands is a tenth of the time that a command takes to begin.
type List []string

// Set adds one.
func (l *List) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// String is empty for an empty list: help shows no default then.
func (l *List) String() string { return strings.Join(*l, ",") }

// Type is what help calls a value whose flag's usage names none.
func (l *List) Type() string { return "stringArray" }
