// Package checkpoint reads and writes checkpoint archives: tars in the form of CRI-O's,
// containerd's and podman's, which checkpointctl shows and the kubelet asks for.
//
//	config.dump      what the container was called and made of (Config)
//	spec.dump        its OCI specification
//	checkpoint/      CRIU's images, with descriptors.json
//	rootfs-diff.tar  what it had written to its root file system
//	deleted.files    what it had deleted there: a JSON list of paths
//
// An archive may come from anywhere. Read takes nothing from it but the images and the two
// differences, puts it below a directory that nobody else can reach, and refuses one that
// is larger unpacked than it is itself, as only a bomb can be. What is in the images is
// CRIU's affair, and whoever restores judges what has come of it.
package checkpoint

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"carob/internal/archive"
	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// Names in an archive.
const (
	configName  = "config.dump"
	specName    = "spec.dump"
	imagesName  = "checkpoint"
	diffName    = "rootfs-diff.tar"
	deletedName = "deleted.files"
)

// Config says what was written down, in the words of checkpointctl.
type Config struct {
	ID              string    `json:"id"`
	Name            string    `json:"name"`
	RootfsImage     string    `json:"rootfsImage,omitempty"`
	RootfsImageRef  string    `json:"rootfsImageRef,omitempty"`
	RootfsImageName string    `json:"rootfsImageName,omitempty"`
	Runtime         string    `json:"runtime,omitempty"`
	Created         time.Time `json:"createdTime"`
	Checkpointed    time.Time `json:"checkpointedTime"`
	Restored        bool      `json:"restored"`
}

// Write writes an archive of a directory: "checkpoint" in it has the images, and diff, if it
// is not nil, writes the difference as a tar and returns what was deleted.
type Write struct {
	Config Config
	// Spec is marshalled as it is.
	Spec any
	Dir  string
	Diff func(io.Writer) (deleted []string, err error)
}

// Images is the directory for the images below a directory that an archive is made of.
func Images(dir string) string { return filepath.Join(dir, imagesName) }

// To writes the archive.
func (a Write) To(ctx context.Context, w io.Writer) error {
	for name, v := range map[string]any{configName: a.Config, specName: a.Spec} {
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(a.Dir, name), text, 0o600); err != nil {
			return err
		}
	}
	if a.Diff != nil {
		if err := a.diff(); err != nil {
			return err
		}
	}
	top, err := fd.OpenPath(a.Dir)
	if err != nil {
		return err
	}
	defer top.Close()
	return archive.Pack(ctx, w, top, ".", archive.IDs{})
}

func (a Write) diff() error {
	f, err := os.OpenFile(filepath.Join(a.Dir, diffName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	deleted, err := a.Diff(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	text, err := json.Marshal(deleted)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.Dir, deletedName), text, 0o600)
}

const (
	// maxEntries bounds an archive: CRIU writes a dozen files a process.
	maxEntries = 100_000
	// maxText bounds what is read into memory.
	maxText = 4 << 20
)

// Read unpacks the archive at a path into the empty directory dir.
func Read(ctx context.Context, name, dir string) error {
	f, err := open(name)
	if err != nil {
		return fmt.Errorf("checkpoint archive: %w", err)
	}
	defer f.Close()
	if err := check(f); err != nil {
		return fmt.Errorf("checkpoint archive %s: %w", name, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	to, err := fd.OpenPath(dir)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := archive.Unpack(ctx, f, to, archive.Options{}); err != nil {
		return fmt.Errorf("checkpoint archive %s: %w", name, err)
	}
	return nil
}

// Known reads what an archive says of the container that it was made of. It is a hint, and
// nothing to trust.
func Known(name string) (c Config, err error) {
	f, err := open(name)
	if err != nil {
		return c, fmt.Errorf("checkpoint archive: %w", err)
	}
	defer f.Close()
	tr := tar.NewReader(f)
	for range maxEntries {
		h, err := tr.Next()
		if err != nil {
			break
		}
		if path.Clean(h.Name) == configName {
			return c, fault.Wrap(fault.Invalid, "checkpoint archive "+name+": "+configName, json.NewDecoder(io.LimitReader(tr, maxText)).Decode(&c))
		}
	}
	return c, fault.New(fault.Invalid, "checkpoint archive "+name+": is none: it has no "+configName)
}

// open opens a regular file and nothing else.
func open(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|fd.NoBlock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(fault.NotFound, "", err)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.New(fault.Invalid, name+": not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// check goes through the headers of an archive.
func check(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	left, entries, found := info.Size(), 0, false
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fault.Wrap(fault.Invalid, "tar", err)
		}
		entries++
		left -= h.Size
		if left < 0 || entries > maxEntries {
			return fault.New(fault.Invalid, "unpacked it would be larger than it is: no checkpoint is")
		}
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
			return fault.New(fault.Invalid, fmt.Sprintf("%.80q: neither a file nor a directory", h.Name))
		}
		found = found || strings.HasPrefix(path.Clean(h.Name), imagesName+"/")
	}
	if !found {
		return fault.New(fault.Invalid, "is none: it has no images in "+imagesName+"/")
	}
	return nil
}

// Apply makes in a container's root file system the differences that came with an archive
// that Read has unpacked. Owners are as the archive says; device nodes are not made.
func Apply(ctx context.Context, dir string, root *os.File) error {
	diff, err := os.Open(filepath.Join(dir, diffName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer diff.Close()
	if err := remove(filepath.Join(dir, deletedName), root); err != nil {
		return fmt.Errorf("%s: %w", deletedName, err)
	}
	if _, err := archive.Unpack(ctx, diff, root, archive.Options{KeepOwner: true}); err != nil {
		return fmt.Errorf("%s: %w", diffName, err)
	}
	return nil
}

func remove(list string, root *os.File) error {
	f, err := os.Open(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var names []string
	if err := json.NewDecoder(io.LimitReader(f, maxText)).Decode(&names); err != nil {
		return fault.Wrap(fault.Invalid, "list", err)
	}
	top, err := os.OpenRoot(fd.Path(root))
	if err != nil {
		return err
	}
	defer top.Close()
	for _, unsafeName := range names {
		name := strings.TrimPrefix(path.Clean("/"+unsafeName), "/")
		if name == "" {
			continue
		}
		if err := top.RemoveAll(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
