package cli

import (
	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/cli/show"
)

const noFiles = cobra.ShellCompDirectiveNoFileComp

func fixed(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { return words, noFiles }
}

// first completes the first word only; what follows is a command in a container.
func (a *app) first(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, noFiles
		}
		return f(cmd, args, start)
	}
}

func (a *app) names(cmd *cobra.Command, f api.Filter) ([]string, cobra.ShellCompDirective) {
	list, err := call(cmd.Context(), a, api.Containers, f)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var words []string
	for _, c := range list {
		words = append(words, show.Title(c))
	}
	return words, noFiles
}

func (a *app) containerNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd, api.Filter{})
}

func (a *app) runningNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return a.names(cmd, api.Filter{States: []string{"running"}})
}

func (a *app) podNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	no := false
	list, err := call(cmd.Context(), a, api.Pods, api.Filter{Solo: &no})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var words []string
	for _, p := range list {
		words = append(words, p.Name)
	}
	return words, noFiles
}

func (a *app) imageNames(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	list, err := call(cmd.Context(), a, api.Images, api.None{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var words []string
	for _, m := range list {
		words = append(words, m.Names...)
	}
	return words, noFiles
}

// modes completes the modes of a namespace, container:NAME among them.
func (a *app) modes(words ...string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		names, _ := a.runningNames(cmd, args, start) // without a daemon the words alone
		all := append([]string{}, words...)
		for _, n := range names {
			all = append(all, "container:"+n)
		}
		return all, noFiles
	}
}
