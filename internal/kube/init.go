package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"carob/internal/fault"
	"carob/internal/kube/manifest"
)

// Pauses between the attempts of an init container: doubling, like the kubelet's,
// but a person is waiting.
const (
	firstPause = time.Second
	longPause  = time.Minute
)

// lastLines of a failed init container's log go into the error.
const lastLines = 10

// runInit brings one init container to its end, or starts it when it is a sidecar,
// and returns its ID. Each attempt is a new container. What cannot even be created
// or started fails at once: trying again would not make it right.
func (b *build) runInit(ctx context.Context, in manifest.Init) (string, error) {
	c := in.Container
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		id, err := b.start(ctx, c)
		if err != nil || in.Sidecar {
			return id, err
		}
		b.step(c.Name, "wait for its end")
		exit, err := b.Engine.WaitContainer(ctx, id)
		if err != nil {
			return "", err
		}
		if exit.Code == 0 {
			return id, nil
		}
		failed := func(why error) error {
			return about(b.m.Ref(), fault.Wrap(fault.Conflict, "init container "+c.Name, why))
		}
		outcome := fmt.Sprintf("exited with code %d", exit.Code)
		if !in.Retry {
			return "", failed(errors.New(outcome + b.lastWords(ctx, id)))
		}
		b.step(c.Name, fmt.Sprintf("%s, again in %v", outcome, pause))
		select {
		case <-ctx.Done():
			return "", failed(fmt.Errorf("%s: %w%s", outcome, context.Cause(ctx), b.lastWords(ctx, id)))
		case <-time.After(pause):
		}
		if err := gone(b.Engine.RemoveContainer(ctx, id)); err != nil {
			return "", err
		}
		c.Attempt++
	}
}

// lastWords are the last lines of a container's log, for an error's text. A log
// that cannot be read must not hide the exit code.
func (b *build) lastWords(ctx context.Context, id string) string {
	st, err := b.Engine.Container(id)
	if err != nil || b.Logs == nil || st.LogPath == "" {
		return ""
	}
	var buf bytes.Buffer
	if err := b.Logs.Tail(context.WithoutCancel(ctx), st.LogPath, lastLines, &limited{buf: &buf, left: 4 << 10}); err != nil {
		return ""
	}
	var out strings.Builder
	for line := range strings.Lines(buf.String()) {
		out.WriteString("\n  " + printable(strings.TrimRight(line, "\r\n")))
	}
	return out.String()
}

// printable takes out what a container could use to drive the reader's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

// limited drops what comes after the first bytes.
type limited struct {
	buf  *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.buf.Write(p[:n])
	return len(p), nil
}
