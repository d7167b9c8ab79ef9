package images

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/show"
	"carob/internal/fault"
)

// MountCommands returns the commands that mount images on the host and take them off.
func MountCommands(e Env) []*cobra.Command {
	return []*cobra.Command{mountCommand(e), unmountCommand(e)}
}

func mountCommand(e Env) *cobra.Command {
	var st show.Style
	c := &cobra.Command{
		Use: "mount [FLAGS] [IMAGE [DIR]]", Short: "Mount an image on a directory of this machine, read-only",
		Long: `Mounts an image read-only, without devices and set-user-ID programs, and prints where: on
DIR, which must be there, or on a directory of the image's own that only root can reach.
It stays until "carob image unmount", umount(8) or a reboot; meanwhile the image cannot be
removed. Without arguments lists what is mounted.`,
		Example: `  ls $(carob image mount toolbox)
  carob image mount toolbox /mnt
  carob image mount`,
		Args: cobra.MaximumNArgs(2), ValidArgsFunction: e.firstImage,
		RunE: func(cmd *cobra.Command, words []string) error {
			if len(words) == 0 {
				list, err := do(cmd.Context(), e, api.ImageMounts, client.Exchange[api.None, api.None]{})
				if err != nil {
					return err
				}
				return mountSheet().Write(e.Stdout, st, list)
			}
			p := api.MountParams{Ref: words[0]}
			if len(words) == 2 {
				dir, err := filepath.Abs(words[1])
				if err != nil {
					return fault.Wrap(fault.Internal, "image mount", err)
				}
				p.Path = dir
			}
			m, err := do(cmd.Context(), e, api.ImageMount, client.Exchange[api.MountParams, api.None]{Params: p})
			if err != nil {
				return err
			}
			fmt.Fprintln(e.Stdout, m.Path)
			return nil
		},
	}
	c.Flags().StringVarP(&st.Output, "output", "o", "", "output `FORMAT` of the list: name, json or yaml")
	c.Flags().StringVar(&st.Format, "format", "", "Go `TEMPLATE` for each mount")
	c.Flags().BoolVarP(&st.Quiet, "quiet", "q", false, "print paths only")
	return c
}

func mountSheet() show.Sheet[api.HostMount] {
	name := func(m api.HostMount) string {
		if len(m.Names) > 0 {
			return m.Names[0]
		}
		return show.Short(m.ImageID)
	}
	return show.Sheet[api.HostMount]{
		Columns: []show.Column[api.HostMount]{
			{Head: "IMAGE", Text: name},
			{Head: "IMAGE ID", Text: func(m api.HostMount) string { return show.Short(m.ImageID) }},
			{Head: "PATH", Text: func(m api.HostMount) string { return m.Path }},
		},
		Name: func(m api.HostMount) string { return m.Path },
		Row:  func(m api.HostMount) any { return m },
	}
}

func unmountCommand(e Env) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "unmount IMAGE|DIR… | --all", Aliases: []string{"umount"}, Short: "Take an image off where it is mounted on this machine",
		Long: `Takes off all mounts of an image, or the one on a directory: what begins with / or . is
one. A mount that a process has open stays, and is an error.`,
		Example: "  carob image unmount toolbox\n  carob image unmount ./mnt\n  carob image unmount --all",
		Args:    cobra.ArbitraryArgs, ValidArgsFunction: e.Images,
		RunE: func(cmd *cobra.Command, words []string) error {
			if all == (len(words) > 0) {
				return fault.New(fault.Invalid, "image unmount: give images or directories, or --all")
			}
			if all {
				list, err := do(cmd.Context(), e, api.ImageMounts, client.Exchange[api.None, api.None]{})
				if err != nil {
					return err
				}
				for _, m := range list {
					words = append([]string{m.Path}, words...) // what lies on top comes last
				}
			}
			var errs []error
			for _, w := range words {
				if strings.HasPrefix(w, ".") || strings.HasPrefix(w, "/") {
					w, _ = filepath.Abs(w) // the daemon refuses a relative one
				}
				gone, err := do(cmd.Context(), e, api.ImageUnmount, client.Exchange[api.Ref, api.None]{Params: api.Ref{Ref: w}})
				errs = append(errs, err)
				for _, m := range gone {
					fmt.Fprintln(e.Stdout, m.Path)
				}
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "take off all images")
	return c
}

// firstImage completes an image, and then a directory.
func (e Env) firstImage(cmd *cobra.Command, words []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(words) == 0 {
		return e.Images(cmd, words, begun)
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}
