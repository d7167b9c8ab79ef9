// Package entry runs command lines: what carob's have in common, whatever their commands.
// An error is one line for each thing that is wrong and gives the exit code; a wrong use says
// where to read more; usage says each thing once.
package entry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Exit ends the process with a code. Err is shown when there is one.
type Exit struct {
	Code int
	Err  error
}

// Error is the error's text.
func (e *Exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the error.
func (e *Exit) Unwrap() error { return e.Err }

// Line is a command line and its standard streams.
type Line struct {
	Args                  []string
	Stdin, Stdout, Stderr *os.File
}

// Run runs a command line by its commands and returns the exit code of the process.
func (l Line) Run(ctx context.Context, root *cobra.Command) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(l.Args)
	root.SetIn(l.Stdin)
	root.SetOut(l.Stdout)
	root.SetErr(l.Stderr)
	root.SetFlagErrorFunc(Usage)
	checkArgs(root)
	shape(root, l.Stdout)
	return l.end(root.ExecuteContext(ctx))
}

// end shows an error, one line for each thing that is wrong, and gives the code.
func (l Line) end(err error) int {
	if err == nil {
		return 0
	}
	var x *Exit
	code, shown := 1, err
	if errors.As(err, &x) {
		code, shown = x.Code, x.Err
	}
	if shown != nil && !errors.Is(shown, context.Canceled) {
		for _, line := range strings.Split(shown.Error(), "\n") {
			fmt.Fprintln(l.Stderr, "carob: "+line)
		}
	}
	return code
}

// checkArgs makes a wrong number of words a usage error like a wrong flag, below c.
func checkArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		if check := sub.Args; check != nil {
			sub.Args = func(cmd *cobra.Command, args []string) error {
				err := check(cmd, args)
				if err != nil && len(args) > 0 && !cmd.HasSubCommands() && strings.HasPrefix(err.Error(), "unknown command") {
					err = fmt.Errorf("takes no arguments, not %q", args[0]) // cobra's words are about the root
				}
				if err != nil {
					return Usage(cmd, err)
				}
				return nil
			}
		}
		checkArgs(sub)
	}
}

// Usage is an error in the command line itself: one line and where to read more.
func Usage(cmd *cobra.Command, err error) error {
	code := 1
	if slices.Contains([]string{"run", "create"}, cmd.Name()) {
		code = 125
	}
	text, _, _ := strings.Cut(err.Error(), ": strconv.") // what follows is Go's business
	return &Exit{code, fmt.Errorf("%s: %s (see '%s --help')", cmd.Name(), text, cmd.CommandPath())}
}
