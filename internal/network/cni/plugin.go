package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"carob/internal/sys/session"
)

const (
	// maxOutput and maxErrors bound what a plugin prints, in bytes.
	maxOutput = 1 << 20
	maxErrors = 16 << 10
	// drainTime is how long something that a plugin left behind may hold its output open.
	drainTime = time.Second
)

// plugins executes plugins: libcni's invoke.Exec.
type plugins struct {
	version.PluginDecoder
	log *slog.Logger
}

// FindInPath finds a plugin's program.
func (p *plugins) FindInPath(plugin string, paths []string) (string, error) {
	return invoke.FindInPath(plugin, paths)
}

// ExecPlugin runs a plugin once. What it prints when it fails, or its standard error where
// that says nothing, is the error's text: a *types.Error.
func (p *plugins) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // nothing ran, there is nothing to say
	}
	out, errs := &bounded{most: maxOutput}, &bounded{most: maxErrors, cut: true}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = withSbin(environ), bytes.NewReader(stdin), out, errs
	cmd.WaitDelay = drainTime
	session.Group(cmd)
	began := time.Now()
	err := cmd.Run()
	p.note(cmd, time.Since(began), err)
	switch {
	case out.over:
		return nil, &types.Error{Code: types.ErrDecodingFailure, Msg: fmt.Sprintf("prints more than %d bytes", maxOutput)}
	case ctx.Err() != nil:
		return nil, &types.Error{Code: types.ErrTryAgainLater, Msg: fmt.Sprintf("did not end in time and was killed after %v", time.Since(began).Round(time.Millisecond))}
	case err != nil:
		return nil, failure(err, out.Bytes(), errs.Bytes())
	}
	if err := sane(out.Bytes()); err != nil {
		return nil, &types.Error{Code: types.ErrDecodingFailure, Msg: fmt.Sprintf("prints what is no result: %v: %.200q", err, out.Bytes())}
	}
	return out.Bytes(), nil
}

// note writes the one line of a plugin's run.
func (p *plugins) note(cmd *exec.Cmd, took time.Duration, err error) {
	args := []any{"plugin", filepath.Base(cmd.Path), "took", took.Round(100 * time.Microsecond).String()}
	for _, name := range []string{"CNI_COMMAND", "CNI_CONTAINERID", "CNI_IFNAME"} {
		for _, e := range cmd.Env {
			if v, ok := strings.CutPrefix(e, name+"="); ok && v != "" {
				args = append(args, strings.ToLower(strings.TrimPrefix(name, "CNI_")), v)
			}
		}
	}
	if err != nil {
		p.log.Warn("CNI plugin", append(args, "cause", err)...)
		return
	}
	p.log.Info("CNI plugin", args...)
}

// failure is what a plugin says about its failure.
func failure(err error, out, errs []byte) error {
	said := &types.Error{}
	if json.Unmarshal(out, said) == nil && said.Msg != "" {
		return said
	}
	text := strings.TrimSpace(string(errs))
	if text == "" {
		text = strings.TrimSpace(string(out))
	}
	if text == "" {
		text = "says nothing"
	}
	return &types.Error{Msg: fmt.Sprintf("%v: %.500s", err, text)}
}

// sane refuses what libcni's converters of old results do not expect: an array of theirs
// with a null in it.
func sane(out []byte) error {
	if len(bytes.TrimSpace(out)) == 0 {
		return nil // all commands but ADD; libcni says it of ADD
	}
	var r struct {
		Interfaces, IPs, Routes []*json.RawMessage
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	for _, list := range [][]*json.RawMessage{r.Interfaces, r.IPs, r.Routes} {
		for _, e := range list {
			if e == nil {
				return errors.New("null among interfaces, ips or routes")
			}
		}
	}
	return nil
}

// withSbin lets plugins find iptables and its like whoever started the daemon.
func withSbin(environ []string) []string {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path = strings.Trim(path+":"+dir, ":")
		}
	}
	return append(environ, "PATH="+path) // of two the last one counts
}

// bounded is a buffer with an end. Beyond it, cut drops what comes; without it writing
// fails, and so does the writer. It does not embed the buffer, whose ReadFrom has no end.
type bounded struct {
	buf  bytes.Buffer
	most int
	cut  bool
	over bool
}

// Bytes is what has been kept.
func (b *bounded) Bytes() []byte { return b.buf.Bytes() }

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.buf.Len()
	if len(p) <= room {
		return b.buf.Write(p)
	}
	b.over = !b.cut
	_, _ = b.buf.Write(p[:room]) // it cannot fail
	if b.cut {
		return len(p), nil
	}
	return room, errors.New("too much")
}
