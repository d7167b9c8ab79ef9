package cli

import (
	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/cli/show"
	"carob/internal/status"
)

// words completes the command line with the names there are.
type words struct{ *app }

const noFiles = cobra.ShellCompDirectiveNoFileComp

func fixed(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return words, noFiles }
}

// first completes the first word only; what follows is a command in a container.
func first(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, noFiles
		}
		return f(cmd, args, start)
	}
}

func (w words) list(cmd *cobra.Command, f status.Filter) ([]string, cobra.ShellCompDirective) {
	list, err := call(cmd.Context(), w.app, api.Containers, f)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	for _, c := range list {
		found = append(found, show.Title(c))
	}
	return found, noFiles
}

func (w words) containers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return w.list(cmd, status.Filter{})
}

func (w words) running(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return w.list(cmd, status.Filter{States: []string{"running"}})
}

func (w words) pods(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	no := false
	list, err := call(cmd.Context(), w.app, api.Pods, status.Filter{Solo: &no})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	for _, p := range list {
		found = append(found, p.Name)
	}
	return found, noFiles
}

func (w words) images(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := call(cmd.Context(), w.app, api.Images, api.None{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	for _, m := range list {
		found = append(found, m.Names...)
	}
	return found, noFiles
}

func (w words) handlers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	h, err := call(cmd.Context(), w.app, api.Info, api.None{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	for _, x := range h.Handlers {
		found = append(found, x.Name)
	}
	return found, noFiles
}

func (w words) networks(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := call(cmd.Context(), w.app, api.Networks, api.None{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	for _, n := range list {
		found = append(found, n.Name)
	}
	return found, noFiles
}

// volumes completes the names before the colon of --volume; a path of the host fits, too.
func (w words) volumes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := call(cmd.Context(), w.app, api.Volumes, api.None{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault // paths alone
	}
	var found []string
	for _, v := range list {
		if !v.Anonymous && !v.Removing {
			found = append(found, v.Name+":")
		}
	}
	return found, cobra.ShellCompDirectiveNoSpace
}

// anyNetwork completes what can stand after --network.
func (w words) anyNetwork(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
	all, _ := w.modes("private", "host", "none")(cmd, args, start) // without a daemon the words alone
	names, _ := w.networks(cmd, args, start)
	return append(all, names...), noFiles
}

// modes completes the modes of a namespace, container:NAME among them.
func (w words) modes(words ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		names, _ := w.running(cmd, args, start) // without a daemon the words alone
		all := append([]string{}, words...)
		for _, n := range names {
			all = append(all, "container:"+n)
		}
		return all, noFiles
	}
}
