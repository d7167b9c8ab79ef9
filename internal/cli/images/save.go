package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/archive"
	"carob/internal/fault"
)

// directory is the format that is made here, of an oci-archive.
const directory = "oci-dir"

func saveCommand(e Env) *cobra.Command {
	var output, format string
	c := &cobra.Command{
		Use: "save [-o FILE] IMAGE…", Short: "Write images to an archive",
		Long: `Writes images as one archive that carob load, docker load, podman load and skopeo read.
An image named by its ID has no name in the archive. Layers are the very tars that the
image's configuration names by digest; they are not packed: pipe the archive through
gzip or zstd if you like.`,
		Example: `  carob save -o app.tar app:1 db:2
  carob save app:1 | ssh host carob load
  carob save --format oci-dir -o ./layout app:1`,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: e.Images,
		RunE: func(cmd *cobra.Command, refs []string) error {
			p := api.SaveParams{Refs: refs, Format: format}
			switch {
			case format == directory:
				return e.saveDir(cmd.Context(), output, p)
			case output != "":
				return whole(output, 0o644, func(f *os.File) error { return e.save(cmd.Context(), f, p) })
			case term.IsTerminal(int(e.Stdout.Fd())):
				return fault.New(fault.Invalid, "save: an archive is nothing for a terminal; use -o FILE or a pipe")
			}
			return e.save(cmd.Context(), e.Stdout, p)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "`FILE` instead of standard output; the directory with --format oci-dir")
	c.Flags().StringVar(&format, "format", "docker-archive", "`FORMAT`: docker-archive, oci-archive, oci-dir")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"docker-archive", "oci-archive", directory}, cobra.ShellCompDirectiveNoFileComp)) // it was made above
	return c
}

// save lets the daemon write to w itself.
func (e Env) save(ctx context.Context, w *os.File, p api.SaveParams) error {
	_, err := do(ctx, e, api.ImageSave, client.Exchange[api.SaveParams, api.None]{Params: p, Files: api.Files{Data: w}})
	return err
}

// whole makes a file that is there when all of it is; after an error it is as it was.
func whole(path string, mode os.FileMode, write func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".carob-save-")
	if err != nil {
		return fault.Wrap(fault.Invalid, "save", err)
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if e := f.Close(); err == nil && e != nil {
		err = fault.Wrap(fault.Unavailable, "save", e)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// saveDir unpacks an oci-archive where it comes in.
func (e Env) saveDir(ctx context.Context, path string, p api.SaveParams) (err error) {
	if path == "" {
		return fault.New(fault.Invalid, "save: --format oci-dir needs -o DIRECTORY")
	}
	if _, err := os.Lstat(path); err == nil {
		return fault.New(fault.Exists, "save: "+path+": is there already")
	}
	temp, err := os.MkdirTemp(filepath.Dir(path), ".carob-save-")
	if err != nil {
		return fault.Wrap(fault.Invalid, "save", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	p.Format = "oci-archive"
	if err := e.receive(ctx, p, temp); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fault.Wrap(fault.Internal, "save", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fault.Wrap(fault.Unavailable, "save", err)
	}
	return nil
}

// receive unpacks in dir what the daemon writes.
func (e Env) receive(ctx context.Context, p api.SaveParams, dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fault.Wrap(fault.Internal, "save", err)
	}
	defer func() { _ = d.Close() }() // only a place
	r, w, err := os.Pipe()
	if err != nil {
		return fault.Wrap(fault.Internal, "save", err)
	}
	done := make(chan error, 1)
	go func() {
		skipped, err := archive.Unpack(ctx, r, d, archive.Options{})
		if err == nil && len(skipped) > 0 {
			err = fault.New(fault.Internal, fmt.Sprintf("save: %s is no part of a layout", skipped[0]))
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r) // what tar pads with
		}
		_ = r.Close() // a daemon that still writes sees that nobody reads
		done <- err
	}()
	err = e.save(ctx, w, p)
	_ = w.Close() // the reader sees the end
	if e := <-done; err == nil {
		err = e
	}
	return err
}
