package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/cli/ask"
	"carob/internal/cli/remote"
	"carob/internal/cli/show"
	"carob/internal/fault"
)

func imageCommands(a *app) []*cobra.Command {
	group := &cobra.Command{
		Use: "image COMMAND", Short: "Work with images",
		Example: "  carob image import rootfs.tar my/image:1",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(imagesCommand(a, "ls"), importCommand(a), loadCommand(a), rmiCommand(a, "rm"), tagCommand(a), imageInspectCommand(a), remote.PullCommand(remoteEnv(a)))
	return append(remote.Commands(remoteEnv(a)), []*cobra.Command{imagesCommand(a, "images"), importCommand(a), loadCommand(a), rmiCommand(a, "rmi"), tagCommand(a), group}...)
}

func imagesCommand(a *app, name string) *cobra.Command {
	var s style
	c := &cobra.Command{
		Use: name, Short: "List images",
		Example: "  carob images --format '{{.Repository}}:{{.Tag}} {{.Size}}'",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(cmd.Context(), a, api.Images, api.None{})
			if err != nil {
				return err
			}
			if s.Output == "name" {
				s.Quiet = false
				for _, i := range show.ByName(list) {
					fmt.Fprintln(a.Stdout, i.Name)
				}
				return nil
			}
			return write(a.Stdout, &s, show.Images, show.ByName(list))
		},
	}
	s.bind(c, "print IDs only")
	return c
}

// feed makes a call whose data comes from a stream: a file is passed as it is, what
// else there is (a terminal, a pipe) goes through a pipe of our own.
func feed[P, R any](ctx context.Context, a *app, m api.Method[P, api.None, R], p P, from *os.File) (R, error) {
	x := api.Exchange[P, api.None]{Params: p}
	if info, err := from.Stat(); err == nil && info.Mode().IsRegular() {
		x.Files.Data = from
		return do(ctx, a, m, x)
	}
	return piped(ctx, a, m, x, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
}

// piped makes a call whose data is written by write. An error of the daemon counts
// before one of the writer, which then only met a closed pipe.
func piped[P, R any](ctx context.Context, a *app, m api.Method[P, api.None, R], x api.Exchange[P, api.None], write func(io.Writer) error) (R, error) {
	var none R
	r, w, err := os.Pipe()
	if err != nil {
		return none, fault.Wrap(fault.Internal, "pipe", err)
	}
	defer func() { _ = r.Close() }() // the daemon has its own
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wrote := make(chan error, 1)
	go func() {
		err := write(w)
		if err != nil {
			cancel() // without an end the daemon must not take the part for the whole
			wrote <- err
		}
		_ = w.Close() // the end of the data
		if err == nil {
			wrote <- nil
		}
	}()
	x.Files.Data = r
	result, err := do(ctx, a, m, x)
	if err != nil && ctx.Err() == nil {
		_ = w.Close() // a source that never ends is not waited for
		return none, err
	}
	_ = r.Close() // whoever still writes sees that nobody reads
	if werr := <-wrote; werr != nil && (err == nil || ctx.Err() != nil) {
		err = werr
	}
	return result, err
}

func importCommand(a *app) *cobra.Command {
	var changes []string
	c := &cobra.Command{
		Use: "import DIR|TAR|- NAME", Short: "Make an image of a root file system",
		Example: "  carob import rootfs.tar.gz my/base:1\n  carob import --change 'CMD [\"/bin/sh\"]' ./rootfs my/base",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, words []string) error {
			cfg, err := ask.Changes(changes)
			if err != nil {
				return err
			}
			m, err := importImage(cmd.Context(), a, words[0], api.ImportParams{Name: words[1], Config: cfg})
			if err != nil {
				return err
			}
			fmt.Fprintln(a.Stdout, m.ID)
			return nil
		},
	}
	c.Flags().StringArrayVarP(&changes, "change", "c", nil, "`INSTRUCTION` for the image: CMD, ENTRYPOINT, ENV, LABEL, USER, WORKDIR, STOPSIGNAL")
	return c
}

func importImage(ctx context.Context, a *app, from string, p api.ImportParams) (api.Image, error) {
	if from == "-" {
		return feed(ctx, a, api.ImageImport, p, a.Stdin)
	}
	f, err := os.Open(from)
	if err != nil {
		return api.Image{}, fault.Wrap(fault.NotFound, "import", err)
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return api.Image{}, fault.Wrap(fault.Internal, "import", err)
	}
	if info.IsDir() {
		if p.Dir, err = absolute(from); err != nil {
			return api.Image{}, fault.Wrap(fault.Internal, "import", err)
		}
		return call(ctx, a, api.ImageImport, p)
	}
	return feed(ctx, a, api.ImageImport, p, f)
}

func loadCommand(a *app) *cobra.Command {
	var input string
	c := &cobra.Command{
		Use: "load [-i FILE]", Short: "Load images from a docker or OCI archive",
		Example: "  carob load -i image.tar\n  docker save alpine | carob load",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			if len(words) == 1 && input == "" {
				input = words[0]
			}
			f := a.Stdin
			if input != "" && input != "-" {
				var err error
				if f, err = os.Open(input); err != nil {
					return fault.Wrap(fault.NotFound, "load", err)
				}
				defer func() { _ = f.Close() }() // only read from
			}
			list, err := feed(cmd.Context(), a, api.ImageLoad, api.None{}, f)
			if err != nil {
				return err
			}
			for _, m := range list {
				if len(m.Names) == 0 {
					fmt.Fprintln(a.Stdout, "Loaded image ID:", m.ID)
					continue
				}
				fmt.Fprintln(a.Stdout, "Loaded image:", strings.Join(m.Names, " "))
			}
			return nil
		},
	}
	c.Flags().StringVarP(&input, "input", "i", "", "archive `FILE` instead of standard input")
	return c
}

func rmiCommand(a *app, name string) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: name + " IMAGE…", Short: "Remove names of images, and images without names",
		Example: "  carob rmi my/base:1",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.images,
		RunE: func(cmd *cobra.Command, refs []string) error {
			var errs []error
			for _, ref := range refs {
				removed, err := call(cmd.Context(), a, api.ImageRemove, api.Ref{Ref: ref})
				if err != nil && !(force && fault.Is(err, fault.NotFound)) {
					errs = append(errs, err)
				}
				for _, r := range removed {
					fmt.Fprintln(a.Stdout, r)
				}
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "do not complain about images that are not there")
	return c
}

func tagCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "tag IMAGE NAME", Short: "Give an image a further name",
		Example: "  carob tag my/base:1 my/base:latest",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: first(words{a}.images),
		RunE: func(cmd *cobra.Command, words []string) error {
			_, err := call(cmd.Context(), a, api.ImageTag, api.TagParams{Ref: words[0], Name: words[1]})
			return err
		},
	}
}

func imageInspectCommand(a *app) *cobra.Command {
	var st show.Style
	c := &cobra.Command{
		Use: "inspect [FLAGS] IMAGE…", Short: "Show all that is known of images",
		Example: "  carob image inspect toolbox --format '{{json .Config.Cmd}}'",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.images,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.inspect(cmd.Context(), refs, st, inspection{a}.image)
		},
	}
	bindInspect(c, &st)
	return c
}
