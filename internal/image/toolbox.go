package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
)

// ToolboxName is the image that needs no registry.
const ToolboxName = OwnDomain + "toolbox:latest"

// OwnDomain is where images live that no registry has.
const OwnDomain = "carob.local/"

// toolboxFlag makes the toolbox binary write the tar of its root filesystem: it
// alone knows which programs it is.
const toolboxFlag = "--rootfs"

// EnsureToolbox returns the image carob.local/toolbox:latest, made from the static
// binary at that absolute path, which is run once for it. While the binary's size
// and time stay the same this costs two stats. An image made from an older binary
// goes when no container uses it.
func (s *Store) EnsureToolbox(ctx context.Context, binary string) (Image, error) {
	s.ensure.Lock()
	defer s.ensure.Unlock()
	now, err := statSource(binary)
	if err != nil {
		return Image{}, fault.Wrap(fault.NotFound, "image "+ToolboxName+": binary", err)
	}
	if img, ok := s.snapshot.Load().toolbox(now); ok {
		return img, nil
	}
	img, err := buildToolbox(ctx, s, now)
	if err != nil {
		return Image{}, err
	}
	if err := s.dropGenerated(ctx); err != nil {
		return Image{}, fmt.Errorf("image %s: remove the older one: %w", ToolboxName, err)
	}
	return img, nil
}

func statSource(binary string) (source, error) {
	if !filepath.IsAbs(binary) {
		return source{}, fmt.Errorf("%q is not an absolute path", binary)
	}
	fi, err := os.Stat(binary)
	if err != nil {
		return source{}, err
	}
	if !fi.Mode().IsRegular() {
		return source{}, fmt.Errorf("%s: not a regular file", binary)
	}
	return source{Path: binary, Size: fi.Size(), Modified: fi.ModTime().UTC()}, nil
}

// toolbox returns the image if it is there and made from this very binary.
func (st *state) toolbox(now source) (Image, bool) {
	id, ok := st.index.Names[ToolboxName]
	if !ok {
		return Image{}, false
	}
	was := st.index.Images[id].Source
	if was == nil || was.Path != now.Path || was.Size != now.Size || !was.Modified.Equal(now.Modified) {
		return Image{}, false
	}
	img := st.byID[id]
	_, err := os.Lstat(img.Layers[0])
	return img, err == nil
}

func buildToolbox(ctx context.Context, s *Store, from source) (Image, error) {
	binary := from.Path
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // kills the binary when the import ends early
	cmd := exec.CommandContext(ctx, binary, toolboxFlag)
	cmd.Env = []string{}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", ToolboxName, err)
	}
	if err := cmd.Start(); err != nil {
		return Image{}, fault.Wrap(fault.Invalid, "image "+ToolboxName+": run binary", err)
	}
	r := &commandOutput{r: out, wait: func() error {
		if err := cmd.Wait(); err != nil {
			line, _, _ := strings.Cut(complaint.String(), "\n")
			return fmt.Errorf("%s %s: %w: %.200s", binary, toolboxFlag, err, line)
		}
		return nil
	}}
	img, err := s.importOne(ctx, ToolboxName, r, record{
		Config: toolboxConfig(), Pinned: true, Created: from.Modified, Source: &from,
	})
	cancel()
	r.finish()
	return img, err
}

func toolboxConfig() v1.ImageConfig {
	return v1.ImageConfig{
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Cmd:        []string{"/bin/sh"},
		WorkingDir: "/",
	}
}

// commandOutput ends only when the command has, and with its failure: a tar whose
// writer died is not a tar.
type commandOutput struct {
	r    io.Reader
	wait func() error
	done bool
	err  error
}

func (c *commandOutput) Read(p []byte) (int, error) {
	n, err := 0, io.EOF
	if !c.done { // waiting for the command closes its output
		n, err = c.r.Read(p)
	}
	if errors.Is(err, io.EOF) {
		if e := c.finish(); e != nil {
			err = e
		}
	}
	return n, err
}

func (c *commandOutput) finish() error {
	if !c.done {
		c.done, c.err = true, c.wait()
	}
	return c.err
}
