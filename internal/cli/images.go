package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/archive"
	"carob/internal/cli/ask"
	"carob/internal/cli/images"
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
	group.AddCommand(images.ListCommand(words{a}.env(), "ls"), importCommand(a), loadCommand(a), rmiCommand(a, "rm"), tagCommand(a), imageInspectCommand(a))
	group.AddCommand(images.PruneCommand(words{a}.env()))
	group.AddCommand(images.MountCommands(words{a}.env())...)
	group.AddCommand(images.Commands(words{a}.env())...)
	all := append(images.Commands(words{a}.env()), images.LoginCommands(words{a}.env())...)
	return append([]*cobra.Command{images.ListCommand(words{a}.env(), "images"), importCommand(a), loadCommand(a), rmiCommand(a, "rmi"), tagCommand(a), group}, all...)
}

func (w words) env() images.Env {
	return images.Env{Stdin: w.Stdin, Stdout: w.Stdout, Stderr: w.Stderr, Daemon: w.daemon, Images: w.images, Containers: w.containers, LookupEnv: w.LookupEnv}
}

// feed makes a call whose data comes from a stream: a file is passed as it is, what
// else there is (a terminal, a pipe) goes through a pipe of our own.
func feed[P, R any](ctx context.Context, a *app, m api.Method[P, api.None, R], p P, from *os.File) (R, error) {
	x := client.Exchange[P, api.None]{Params: p}
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
func piped[P, R any](ctx context.Context, a *app, m api.Method[P, api.None, R], x client.Exchange[P, api.None], write func(io.Writer) error) (R, error) {
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
		Use: "import DIR|TAR|- [NAME]", Short: "Make an image of a root file system",
		Example: "  carob import rootfs.tar.gz my/base:1\n  carob import --change 'CMD [\"/bin/sh\"]' ./rootfs my/base",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, words []string) error {
			name := ""
			if len(words) == 2 {
				name = words[1]
			}
			cfg, err := ask.Changes(changes)
			if err != nil {
				return err
			}
			m, err := importImage(cmd.Context(), a, words[0], api.ImportParams{Name: name, Config: cfg})
			if err != nil {
				return err
			}
			fmt.Fprintln(a.Stdout, m.ID)
			return nil
		},
	}
	c.Flags().VarP((*ask.List)(&changes), "change", "c", "`INSTRUCTION` for the image: "+ask.Instructions)
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
	var quiet bool
	c := &cobra.Command{
		Use: "load [-i FILE|DIR]", Short: "Load images from a docker or OCI archive, or an OCI layout's directory",
		Example: "  carob load -i image.tar\n  docker save alpine | carob load\n  carob load -i ./layout",
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
			if f == a.Stdin && term.IsTerminal(int(f.Fd())) {
				return fault.New(fault.Invalid, "load: standard input is a terminal; use -i FILE or a pipe")
			}
			list, err := load(cmd.Context(), a, f)
			if err != nil || quiet {
				return err
			}
			for _, m := range list {
				if len(m.Names) == 0 {
					fmt.Fprintln(a.Stdout, "Loaded image ID:", m.ID)
					continue
				}
				for _, n := range m.Names {
					fmt.Fprintln(a.Stdout, "Loaded image:", n)
				}
			}
			return nil
		},
	}
	c.Flags().StringVarP(&input, "input", "i", "", "archive `FILE`, or directory, instead of standard input")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not say what was loaded")
	return c
}

// load sends an archive, or a directory as one.
func load(ctx context.Context, a *app, f *os.File) ([]api.Image, error) {
	if info, err := f.Stat(); err != nil || !info.IsDir() {
		return feed(ctx, a, api.ImageLoad, api.None{}, f)
	}
	return piped(ctx, a, api.ImageLoad, client.Exchange[api.None, api.None]{}, func(w io.Writer) error {
		return archive.Pack(ctx, w, f, ".", archive.IDs{})
	})
}

func rmiCommand(a *app, name string) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: name + " [-f] IMAGE…", Short: "Remove names of images, and images without names",
		Long: `Takes a name off an image; with its last name goes the image, with the last image goes a
layer. By ID the image goes with all its names.`,
		Example: "  carob rmi my/base:1\n  carob rmi $(carob images -q --filter dangling=true)",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.images,
		RunE: func(cmd *cobra.Command, refs []string) error {
			var errs []error
			for _, ref := range refs {
				removed, err := call(cmd.Context(), a, api.ImageRemove, api.RemoveParams{Ref: ref, Force: force})
				if err != nil && !(force && fault.Is(err, fault.NotFound)) {
					errs = append(errs, err)
				}
				images.Removed(a.Stdout, removed)
			}
			return errors.Join(errs...)
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "by ID also an image with names in several repositories; take the names off an image in use; no complaint about what is not there")
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
