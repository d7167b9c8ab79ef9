package foreign

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/bundle"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/status"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
)

const sigKill = fd.SIGKILL

// command is one command of the runtime's.
type command struct {
	// name says in errors what was asked for.
	name string
	args []string
	// dir is the working directory, and where the command's log is kept meanwhile.
	dir string
	// user owns the streams.
	user specs.User
}

// probe asks a runtime what it is and can do. Not every one has `features`: crun has
// it since 1.9.
func probe(path string) (bundle.Features, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	version, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return bundle.Features{}, fault.Wrap(fault.Unavailable, path+" --version", err)
	}
	f, err := bundle.Identify(string(version))
	if err != nil {
		return f, fmt.Errorf("%s %w", path, err)
	}
	if document, err := exec.CommandContext(ctx, path, "features").Output(); err == nil {
		if err := f.Read(document); err != nil {
			return f, fmt.Errorf("%s %w", path, err)
		}
	}
	return f, nil
}

// program is the helper that runs a command, with the log it writes its errors to.
func (b *box) program(c command) (p initstage.Helper, log string) {
	log = filepath.Join(c.dir, c.name+"-"+newID()[:shortID]+".log")
	args := []string{b.h.Path, "--root", filepath.Join(b.dir, "state"), "--log", log, "--log-format", "json"}
	if f, _ := b.h.Features(); f.Sentry {
		args = append(args, "--network="+b.network(), "--oci-seccomp") // else it would drop the profile
	}
	for _, o := range b.h.Options {
		args = append(args, "--"+o)
	}
	return initstage.Helper{Args: append(args, c.args...), Env: b.environment(), Dir: c.dir, User: c.user}, log
}

func (b *box) environment() []string {
	return []string{"PATH=" + b.h.SearchPath, "XDG_RUNTIME_DIR=" + b.h.RunDir}
}

// run runs a command to its end. An error is the runtime's own word.
func (b *box) run(ctx context.Context, c command) error {
	helper, log := b.program(c)
	defer os.Remove(log)
	ended := make(chan status.Exit, 1)
	id := newID()
	_, err := b.sb.Spawn(ctx, supervisor.Spawn{
		Process: pod.Process{PodID: b.PodID, ID: id}, Program: helper.Program(),
		Ended: func(x status.Exit) { ended <- x },
	})
	if err != nil {
		return fmt.Errorf("%s: %w", b.h.Name, err)
	}
	var exit status.Exit
	select {
	case exit = <-ended:
	case <-ctx.Done():
		_ = b.h.Pool.Signal(context.WithoutCancel(ctx), b.PodID, id, sigKill) // it may have ended just now
		return fault.Wrap(fault.Unavailable, b.h.Name+" "+c.name, context.Cause(ctx))
	}
	forget := b.h.Pool.Forget(ctx, b.PodID, id)
	if exit.Code != 0 {
		return b.refused(c, log, &supervisor.HelperError{Exit: exit})
	}
	return forget
}

// refused is a command that has failed, in the runtime's words where it has any.
func (b *box) refused(c command, log string, cause error) error {
	var failed *supervisor.HelperError
	if !errors.As(cause, &failed) {
		return fmt.Errorf("%s %s: %w", b.h.Name, c.name, cause)
	}
	message := bundle.LastError(readEnd(log))
	text := b.h.Name + " " + c.name
	if message != "" {
		text += ": " + message
	}
	switch bundle.Diagnose(message) {
	case bundle.NoCommand:
		return fmt.Errorf("%s: %w", text, pod.ErrCommandNotFound)
	case bundle.NotExecutable:
		return fmt.Errorf("%s: %w", text, pod.ErrNotExecutable)
	case bundle.NoContainer:
		return fault.Wrap(fault.NotFound, text, failed)
	}
	return fault.Wrap(fault.Internal, text, failed)
}

// readEnd reads the last bytes of a log.
func readEnd(path string) []byte {
	f, err := os.Open(path)
	if err != nil { // the runtime has written none
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > bundle.MaxLog {
		_, _ = f.Seek(-bundle.MaxLog, io.SeekEnd) // else its beginning is read
	}
	b, _ := io.ReadAll(io.LimitReader(f, bundle.MaxLog)) // what could be read tells more than nothing
	return b
}

// newID returns 64 random hexadecimal digits.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// readPid reads a file that the runtime has written a pid to.
func readPid(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var pid int
	if _, err := fmt.Sscanf(strings.TrimSpace(string(b[:min(len(b), 32)])), "%d", &pid); err != nil || pid < 1 {
		return 0, fault.New(fault.Internal, path+": holds no pid")
	}
	return pid, nil
}
