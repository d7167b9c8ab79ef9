// Command carob-look is the commands that look at the machine: look, explain and view.
// People start them as `carob look`, which becomes this and keeps its own name in the command
// line: fonts, pictures, terminals and HTTP cost each start of a program more than a
// millisecond. See docs/adr/0025. It needs no daemon and nothing beside it.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"carob/internal/api/launch"
	"carob/internal/cli/entry"
	"carob/internal/cli/picture"
	"carob/internal/cli/sight"
)

func main() {
	line := entry.Line{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(line.Run(context.Background(), commands(line)))
}

func commands(l entry.Line) *cobra.Command {
	runDirs := []string{launch.RunDir(os.Getenv)}
	see := sight.Screen(l.Stdin, l.Stdout, l.Stderr, os.Getenv)
	see.RunDirs = runDirs
	draw := picture.Env{Stdout: l.Stdout, NoColour: !sight.Coloured(os.Getenv), RunDirs: runDirs, Names: see.Things(1)}
	carob := &cobra.Command{Use: "carob", Short: "See what containers and pods really are"}
	carob.AddCommand(sight.Look(see, picture.Draw(draw)), sight.Explain(see), picture.View(draw))
	return carob
}
