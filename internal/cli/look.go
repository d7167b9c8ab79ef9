package cli

import (
	"github.com/spf13/cobra"

	"carob/internal/look"
	"carob/internal/look/draw/scene"
)

// lookCommand is the parent of the commands that look at what is there. They read /proc
// and cgroups themselves and need no daemon.
func lookCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "look COMMAND", Short: "See what containers and pods really are",
		Long: `Shows the namespaces, cgroups and limits of any process of this host, whoever started
it. No daemon is needed; without root it shows what it may and says what it could not read.`,
		Example: "  carob look draw foo",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(drawCommand(a))
	return c
}

// observed completes with the names of the pods and containers that are there.
func observed(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	h, err := look.Read(cmd.Context(), look.Options{})
	if err != nil {
		return nil, noFiles
	}
	var names []string
	for i := range h.Pods {
		names = append(names, scene.Clean(h.PodThing(i).Name))
	}
	for i := range h.Containers {
		names = append(names, scene.Clean(h.ContainerThing(i).Name))
	}
	return names, noFiles
}
