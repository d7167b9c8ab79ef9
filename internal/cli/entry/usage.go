package entry

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// shape makes cobra's usage say each thing once, and fit the terminal, if out is one: what
// goes into a pipe is not folded.
func shape(root *cobra.Command, out *os.File) {
	width, _, err := term.GetSize(int(out.Fd()))
	if err != nil {
		width = 0
	}
	root.SetUsageTemplate(strings.NewReplacer(
		"{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]{{end}}", "",
		"Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", width),
	).Replace(root.UsageTemplate()))
	sayFlagsOnce(root)
}

// sayFlagsOnce is for lines that have their own word for flags, and groups, which take none.
func sayFlagsOnce(c *cobra.Command) {
	c.DisableFlagsInUseLine = strings.Contains(c.Use, "[FLAGS]") || c.HasSubCommands()
	for _, sub := range c.Commands() {
		sayFlagsOnce(sub)
	}
}
