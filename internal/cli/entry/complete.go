package entry

import (
	"context"

	"github.com/spf13/cobra"
)

// Names completes the names of what list finds.
func Names[T any](list func(context.Context) ([]T, error), name func(T) string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		all, err := list(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		found := make([]string, 0, len(all))
		for _, one := range all {
			found = append(found, name(one))
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}
