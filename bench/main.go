// Command bench measures the daemon's work over its socket, and whole processes:
// what a person waits for between the command and its end. It compares carob with
// the peers that are installed, in turns, so that whatever else the machine does
// falls on all of them alike, and prints the ratio of each pair. With -cri it compares
// carob with containerd and CRI-O, as a kubelet calls them, each in a machine of its own.
//
// It needs root and the binaries in bin/, works in a temporary directory with a
// daemon of its own, and takes away what it made.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"text/tabwriter"
	"time"

	"carob/internal/sys/session"
)

func main() {
	rounds := flag.Int("n", 30, "rounds per scenario")
	peers := flag.Bool("install-peers", false, "apt-get install runc, crun and podman first")
	bin := flag.String("bin", "bin", "directory of carob's binaries")
	kubelets := flag.Bool("cri", false, "call carob, containerd and CRI-O as a kubelet would, those that are in PATH, and measure nothing else")
	against := flag.String("against", "", "with -cri: directory of another build's binaries, to compare with instead of the peers")
	only := flag.String("run", "", "measure only what matches this regular expression, and not the memory")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), session.Quit()...)
	defer stop()
	match, err := regexp.Compile(*only)
	if err == nil {
		err = run(ctx, options{rounds: *rounds, bin: *bin, install: *peers, cri: *kubelets, against: *against, only: match})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds  int
	bin     string
	install bool
	cri     bool
	against string
	only    *regexp.Regexp
}

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return errors.New("containers need root; run it as root")
	}
	if o.install {
		if err := installPeers(ctx); err != nil {
			return err
		}
	}
	if elsewhere, err := withoutUnified(ctx, o); elsewhere {
		return err
	}
	b, err := newBench(ctx, o.bin)
	if err != nil {
		return err
	}
	defer b.remove()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\twho\tmin ms\tmedian ms\tmax ms\tratio\tbudget ms")
	if o.cri {
		c := &contest{b, "/" + filepath.Base(b.dir)}
		return errors.Join(c.hold(ctx, w, o), w.Flush())
	}
	return b.commands(ctx, w, o)
}

// commands measures the daemon's work over its socket, and whole processes.
func (b *bench) commands(ctx context.Context, w *tabwriter.Writer, o options) error {
	defer b.close()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	e, err := b.engine()
	if err != nil {
		return err
	}
	err = b.run(ctx, w, o, append(e.scenarios(), b.scenarios()...))
	if err = errors.Join(err, e.close(ctx)); err != nil {
		return err
	}
	if o.only.String() == "" {
		err = b.memory(ctx, w)
	}
	return errors.Join(err, w.Flush())
}

// run measures scenarios and shows each as soon as it has been measured.
func (b *bench) run(ctx context.Context, w io.Writer, o options, all []scenario) error {
	for _, s := range all {
		if !o.only.MatchString(s.name) {
			continue
		}
		took, err := measure(ctx, s, o.rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		show(w, s, took)
	}
	return nil
}

// installPeers installs what Debian has of the peers.
func installPeers(ctx context.Context) error {
	c := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", "runc", "crun", "podman")
	c.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("apt-get: %w", err)
	}
	return nil
}

// A bench is a temporary directory with a daemon and, for the peers, a bundle. The
// daemon's runtime state is on a tmpfs, as it is below /run of most machines.
type bench struct {
	dir, runDir, bin string

	env []string
	// runtimes and podman are the peers that work here.
	runtimes []subject
	podman   bool
}

func newBench(ctx context.Context, bin string) (*bench, error) {
	abs, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(abs, "carob")); err != nil {
		return nil, fmt.Errorf("%w; run make first", err)
	}
	dir, err := os.MkdirTemp("", "carob-bench-")
	if err != nil {
		return nil, err
	}
	runDir, err := os.MkdirTemp("/dev/shm", "carob-bench-")
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	for _, d := range []string{dir, runDir} { // users of a container's namespace pass through
		if err := os.Chmod(d, 0o711); err != nil {
			return nil, errors.Join(err, os.Remove(dir), os.Remove(runDir))
		}
	}
	return &bench{dir: dir, runDir: runDir, bin: abs, env: append(os.Environ(),
		"CAROB_RUN="+runDir, "CAROB_ROOT="+filepath.Join(dir, "lib"))}, ctx.Err()
}

// command returns a command with the bench's environment.
func (b *bench) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = b.env
	c.Dir = b.dir
	return c
}

// carob runs one carob command to its end.
func (b *bench) carob(ctx context.Context, args ...string) error {
	return quiet(b.command(ctx, filepath.Join(b.bin, "carob"), args...))
}

// quiet runs a command and returns what it printed only when it fails.
func quiet(c *exec.Cmd) error {
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, out)
	}
	return nil
}

// close removes containers and the daemon.
func (b *bench) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}

// remove removes the directories.
func (b *bench) remove() {
	if err := errors.Join(os.RemoveAll(b.dir), os.RemoveAll(b.runDir)); err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}
