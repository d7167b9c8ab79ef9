package main

import (
	"os"
	"testing"

	"github.com/spf13/cobra"

	"carob/internal/cli/entry"
)

// TestHelp: every command has a summary and an example.
func TestHelp(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Short == "" || sub.Example == "" {
				t.Errorf("%s: no example or no summary", sub.CommandPath())
			}
			walk(sub)
		}
	}
	walk(commands(entry.Line{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
}
