package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/archive"
	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// copying is one run of cp.
type copying struct {
	*app
	follow, archive, quiet bool
}

func copyCommand(a *app) *cobra.Command {
	c := copying{app: a}
	cmd := &cobra.Command{
		Use: "cp [FLAGS] CONTAINER:PATH PATH|-  |  cp [FLAGS] PATH|- CONTAINER:PATH", Short: "Copy files in and out of a container",
		Example: `  carob cp web:/etc/hosts .
  carob cp ./site/. web:/www
  carob cp web:/var/log - | tar t`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, words []string) error {
			return c.run(cmd.Context(), words[0], words[1])
		},
	}
	cmd.Flags().BoolVarP(&c.follow, "follow-link", "L", false, "follow a symbolic link at the source")
	cmd.Flags().BoolVarP(&c.archive, "archive", "a", false, "keep users and groups")
	cmd.Flags().BoolVarP(&c.quiet, "quiet", "q", false, "do not name what was left out")
	return cmd
}

// place divides CONTAINER:PATH; a path that begins with / or . is the host's.
func place(s string) (ref, path string) {
	if s == "-" || strings.HasPrefix(s, "/") || strings.HasPrefix(s, ".") {
		return "", s
	}
	if ref, path, ok := strings.Cut(s, ":"); ok && ref != "" {
		return ref, path
	}
	return "", s
}

func (c *copying) run(ctx context.Context, from, to string) error {
	fromRef, fromPath := place(from)
	toRef, toPath := place(to)
	switch {
	case fromRef != "" && toRef != "":
		return fault.New(fault.Invalid, "cp: copying between containers is not supported; go through -")
	case fromRef != "":
		return c.out(ctx, fromRef, fromPath, toPath)
	case toRef != "":
		return c.in(ctx, fromPath, toRef, toPath)
	}
	return fault.New(fault.Invalid, "cp: one of the two must be CONTAINER:PATH")
}

// onHost opens a path of the host as O_PATH and says what it is.
func onHost(path string, follow bool) (*os.File, archive.Info, error) {
	info := archive.Info{Path: path}
	abs, err := absolute(path)
	if err != nil {
		return nil, info, fault.Wrap(fault.Internal, "cp", err)
	}
	root, err := os.Open("/")
	if err != nil {
		return nil, info, fault.Wrap(fault.Internal, "cp", err)
	}
	defer func() { _ = root.Close() }() // a descriptor on the way
	f, err := fd.InRoot(root, abs, follow)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, info, nil
	}
	if err != nil {
		return nil, info, fmt.Errorf("cp: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close() // O_PATH
		return nil, info, fault.Wrap(fault.Internal, "cp", err)
	}
	info.Exists, info.Dir = true, st.IsDir()
	return f, info, nil
}

func (c *copying) out(ctx context.Context, ref, from, to string) error {
	src, err := call(ctx, c.app, api.Stat, api.PathParams{Ref: ref, Path: from, Follow: c.follow || strings.HasSuffix(from, "/")})
	if err != nil {
		return err
	}
	p := api.PathParams{Ref: ref, Path: from, Follow: c.follow || strings.HasSuffix(from, "/")}
	if to == "-" {
		plan, err := archive.Plan(src, archive.Info{Path: ".", Exists: true, Dir: true})
		if err != nil {
			return err
		}
		p.As = plan.As
		return c.receive(ctx, p, func(r io.Reader) error {
			_, err := io.Copy(c.Stdout, r)
			return err
		})
	}
	f, dst, err := onHost(to, true)
	if err != nil {
		return err
	}
	closeFile(f)
	plan, err := archive.Plan(src, dst)
	if err != nil {
		return err
	}
	dir, info, err := onHost(plan.Into, true)
	if err != nil {
		return err
	}
	if !info.Dir {
		closeFile(dir)
		return fault.New(fault.NotFound, "cp: "+plan.Into+": no such directory")
	}
	defer closeFile(dir)
	p.As = plan.As
	return c.receive(ctx, p, func(r io.Reader) error {
		skipped, err := archive.Unpack(ctx, r, dir, archive.Options{KeepOwner: c.archive})
		if err == nil {
			_, err = io.Copy(io.Discard, r) // what tar pads with
		}
		c.tell(skipped)
		return err
	})
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close() // O_PATH or only read from
	}
}

func (c *copying) tell(skipped archive.Skipped) {
	if len(skipped) > 0 && !c.quiet {
		fmt.Fprintf(c.Stderr, "carob: cp: left out %d device nodes and FIFOs (%s)\n", len(skipped), strings.Join(skipped[:min(3, len(skipped))], ", "))
	}
}

// receive makes the call that writes a tar stream while read takes it.
func (c *copying) receive(ctx context.Context, p api.PathParams, read func(io.Reader) error) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fault.Wrap(fault.Internal, "cp", err)
	}
	done := make(chan error, 1)
	go func() {
		err := read(r)
		_ = r.Close() // a daemon that still writes sees that nobody reads
		done <- err
	}()
	_, err = do(ctx, c.app, api.CopyOut, client.Exchange[api.PathParams, api.None]{Params: p, Files: api.Files{Data: w}})
	_ = w.Close() // the reader sees the end
	rerr := <-done
	if err != nil && (rerr == nil || !errors.Is(err, fs.ErrClosed)) {
		return errors.Join(err)
	}
	return rerr
}

func (c *copying) in(ctx context.Context, from, ref, to string) error {
	dst, err := call(ctx, c.app, api.Stat, api.PathParams{Ref: ref, Path: to, Follow: true})
	if err != nil {
		return err
	}
	if from == "-" {
		if !dst.Dir {
			return fault.New(fault.Invalid, "cp: "+ref+":"+to+": a tar stream needs an existing directory")
		}
		skipped, err := feed(ctx, c.app, api.CopyIn, api.PathParams{Ref: ref, Path: to, KeepOwner: c.archive}, c.Stdin)
		c.tell(skipped)
		return err
	}
	f, src, err := onHost(from, c.follow || strings.HasSuffix(from, "/"))
	if err != nil {
		return err
	}
	defer closeFile(f)
	plan, err := archive.Plan(src, dst)
	if err != nil {
		return err
	}
	p := api.PathParams{Ref: ref, Path: plan.Into, KeepOwner: c.archive}
	skipped, err := piped(ctx, c.app, api.CopyIn, client.Exchange[api.PathParams, api.None]{Params: p}, func(w io.Writer) error {
		return archive.Pack(ctx, w, f, plan.As, archive.IDs{})
	})
	c.tell(skipped)
	return err
}
