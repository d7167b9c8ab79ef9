package images

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/show"
	"carob/internal/fault"
	"carob/internal/status"
)

// ContainerCommands returns the commands on what containers made of their images.
func ContainerCommands(e Env) []*cobra.Command {
	return []*cobra.Command{commitCommand(e), diffCommand(e), exportCommand(e), checkpointCommand(e)}
}

func commitCommand(e Env) *cobra.Command {
	var p api.CommitParams
	var changes []string
	c := &cobra.Command{
		Use: "commit [FLAGS] CONTAINER [NAME]", Short: "Make an image of a container",
		Long: `Makes an image of what the container was made from and what it has written since, without
volumes and other mounts. The image runs by default what the container was made to run;
--change says otherwise. Processes are paused meanwhile.`,
		Example: `  carob commit web my/web:2
  carob commit -c 'CMD ["nginx"]' -c 'ENV A=b' -m 'with certificates' web my/web:3`,
		Args: cobra.RangeArgs(1, 2), ValidArgsFunction: e.Containers,
		RunE: func(cmd *cobra.Command, words []string) (err error) {
			p.Ref = words[0]
			if len(words) == 2 {
				p.Name = words[1]
			}
			if p.Config, err = ask.Changes(changes); err != nil {
				return err
			}
			m, err := do(cmd.Context(), e, api.Commit, client.Exchange[api.CommitParams, api.None]{Params: p})
			if err != nil {
				return err
			}
			fmt.Fprintln(e.Stdout, m.ID)
			return nil
		},
	}
	f := c.Flags()
	f.VarP((*ask.List)(&changes), "change", "c", "`INSTRUCTION` for the image: "+ask.Instructions)
	f.StringVarP(&p.Comment, "message", "m", "", "`TEXT` for the image's history")
	f.StringVarP(&p.Author, "author", "a", "", "`NAME` of the author")
	f.BoolVarP(&p.Pause, "pause", "p", true, "pause the container's processes meanwhile; --pause=false does not")
	return c
}

func diffCommand(e Env) *cobra.Command {
	var st show.Style
	c := &cobra.Command{
		Use: "diff [FLAGS] CONTAINER", Short: "Show what a container has changed of its image's files",
		Long: `Lists what was added (A), changed (C) and deleted (D). A directory in which something
was is changed, too. Volumes and other mounts are not part of it.`,
		Example: "  carob diff web\n  carob diff web --format '{{.Kind}} {{.Path}}'",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.Containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			list, err := do(cmd.Context(), e, api.Changes, client.Exchange[api.Ref, api.None]{Params: api.Ref{Ref: refs[0]}})
			if err != nil {
				return err
			}
			if st.Output == "" && st.Format == "" {
				st.Format = "{{.Kind}} {{.Path}}"
			}
			return show.Sheet[status.Change]{
				Columns: []show.Column[status.Change]{
					{Head: "CHANGE", Text: func(c status.Change) string { return string(c.Kind) }},
					{Head: "PATH", Text: func(c status.Change) string { return c.Path }},
				},
				Name: func(c status.Change) string { return c.Path },
				Row:  func(c status.Change) any { return status.Change{Kind: c.Kind, Path: show.Printable(c.Path)} },
			}.Write(e.Stdout, st, list)
		},
	}
	c.Flags().StringVarP(&st.Output, "output", "o", "", "output `FORMAT`: "+strings.Join(show.Formats(), ", "))
	c.Flags().StringVar(&st.Format, "format", "", "Go `TEMPLATE` for each line")
	return c
}

func exportCommand(e Env) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "export [-o FILE] CONTAINER", Short: "Write a container's whole root file system as a tar archive",
		Long: `Writes all files the container sees, the image's and its own, without volumes and other
mounts. carob import makes an image of one layer of it.`,
		Example: "  carob export -o web.tar web\n  carob export web | carob import - my/flat",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.Containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			switch {
			case output != "":
				return whole(output, 0o644, func(f *os.File) error { return e.export(cmd.Context(), f, refs[0]) })
			case term.IsTerminal(int(e.Stdout.Fd())):
				return fault.New(fault.Invalid, "export: an archive is nothing for a terminal; use -o FILE or a pipe")
			}
			return e.export(cmd.Context(), e.Stdout, refs[0])
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "`FILE` instead of standard output")
	return c
}

func (e Env) export(ctx context.Context, w *os.File, ref string) error {
	_, err := do(ctx, e, api.Export, client.Exchange[api.Ref, api.None]{Params: api.Ref{Ref: ref}, Files: api.Files{Data: w}})
	return err
}
