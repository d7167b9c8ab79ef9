// Package e2e drives the built binaries as a person would. Every test run has
// binaries, a daemon and directories of its own below one temporary directory,
// and a cgroup parent of its own name, so that runs side by side on one machine
// do not meet. When the tests are over the daemon is stopped, and what the host
// shows is compared with what it showed before.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
	"carob/test/e2e/reap"
)

// image is the one that needs no registry.
const image = "carob.local/toolbox"

var long = flag.Bool("long", false, "run the long versions: 10 000 execs")

// shared is the machine that the tests of one run use together; only start
// touches it.
var shared *machine

// programs is a directory with copies of the binaries, once there is a machine.
var programs struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	if isNRIPlugin() {
		os.Exit(servePods())
	}
	reap.Main(func() int {
		flag.Parse()
		code := m.Run()
		_ = os.RemoveAll(programs.dir)
		if shared != nil {
			if left := shared.close(); left != "" {
				fmt.Fprintln(os.Stderr, "left behind after all tests:\n"+left)
				code = 1
			}
		}
		return code
	})
}

// A machine is one daemon with its directories.
type machine struct {
	dir    string
	parent string // cgroup parent of what `run` makes, "/carob-e2e-…"
	env    []string
	before snapshot
	// within is a command that goes before carob's, to run it somewhere else.
	within []string

	mu sync.Mutex
	// pods are the IDs of pods made from manifests, whose cgroups have no other mark.
	pods map[string]bool
}

// start returns the shared machine, and fails t at its end when t left containers
// or pods behind.
func start(t *testing.T) *host {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Cgroup, testenv.Binaries)
	if shared == nil {
		m, err := newMachine()
		if err != nil {
			t.Fatal(err)
		}
		shared = m
		(&host{T: t, machine: m}).ok("ps") // starts the daemon, which whoever is first is told
	}
	h := &host{T: t, machine: shared}
	t.Cleanup(h.sweep)
	return h
}

// startOwn returns a machine for one test alone, for tests that kill its daemon or
// count what is on it.
func startOwn(t *testing.T) *host {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Cgroup, testenv.Binaries)
	m, err := newMachine()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{T: t, machine: m}
	t.Cleanup(func() {
		h.sweep()
		if left := m.close(); left != "" {
			t.Error("left behind:\n" + left)
		}
	})
	return h
}

func newMachine() (*machine, error) {
	dir, err := os.MkdirTemp("", "carob-e2e-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	if err := linkBinaries(filepath.Join(dir, "bin")); err != nil {
		return nil, err
	}
	m := &machine{dir: dir, parent: "/" + filepath.Base(dir), pods: map[string]bool{}}
	m.env = append(os.Environ(), "CAROB_RUN="+filepath.Join(dir, "run"), "CAROB_ROOT="+filepath.Join(dir, "lib"))
	m.before = m.look()
	return m, nil
}

// linkBinaries gives a machine binaries of its own: a process's /proc/PID/exe then says
// which machine it belongs to. They are links to one copy: 60 MB for each are felt
// wherever a disk is slow.
func linkBinaries(to string) error {
	binaries := []string{"carob", "carobd", "carob-look", "carob-pod", "carob-init", "carob-toolbox"}
	programs.Do(func() {
		var from string
		if from, programs.err = testenv.BinDir(); programs.err != nil {
			return
		}
		if programs.dir, programs.err = os.MkdirTemp("", "carob-e2e-bin-"); programs.err != nil {
			return
		}
		for _, b := range binaries {
			programs.err = errors.Join(programs.err, copyFile(filepath.Join(from, b), filepath.Join(programs.dir, b)))
		}
	})
	err := errors.Join(programs.err, os.Mkdir(to, 0o755))
	for _, b := range binaries {
		if err == nil {
			err = os.Link(filepath.Join(programs.dir, b), filepath.Join(to, b))
		}
	}
	return err
}

func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// close stops the daemon and returns what is left that was not there before.
func (m *machine) close() string {
	if pid := m.daemon(); pid > 0 {
		_ = syscall.Kill(pid, syscall.SIGTERM)
		wait(10*time.Second, func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
	}
	var left string
	wait(5*time.Second, func() bool {
		left = m.look().since(m.before)
		return left == ""
	})
	removeCgroups(m.parent)
	if err := os.RemoveAll(m.dir); err != nil {
		left += err.Error() + "\n"
	}
	return left
}

// daemon returns the pid of who listens on the machine's socket, 0 for nobody.
func (m *machine) daemon() int {
	c, err := net.Dial("unix", filepath.Join(m.dir, "run", "api.sock"))
	if err != nil {
		return 0
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// A host is a machine in the hands of one test.
type host struct {
	*testing.T
	*machine
}

// sweep removes all containers and pods and says which a test forgot to remove
// itself, unless it failed anyway.
func (h *host) sweep() {
	if h.Failed() {
		h.Logf("the daemon's log ends with\n%s", h.logEnd())
	}
	for _, id := range strings.Fields(h.run("ps", "-aq").out) {
		h.run("rm", "-f", id)
	}
	for _, id := range strings.Fields(h.run("pods", "-aq").out) {
		h.run("delete", "pod", id)
	}
}

// logEnd returns the last lines of the daemon's log.
func (m *machine) logEnd() string {
	b, _ := os.ReadFile(filepath.Join(m.dir, "run", "daemon.log")) // a service's log is systemd's
	const most = 4096
	return string(b[max(0, len(b)-most):])
}

// result is a finished command.
type result struct {
	out, err string
	code     int
	took     time.Duration
}

// cmd returns a command of this machine, not started. Containers go below the
// machine's cgroup parent unless the arguments say otherwise.
func (h *host) cmd(args ...string) *exec.Cmd {
	if args[0] == "run" && !slices.Contains(args, "--cgroup-parent") && !slices.Contains(args, "--pod") {
		args = append([]string{"run", "--cgroup-parent", h.parent}, args[1:]...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(30*time.Second))
	h.Cleanup(cancel)
	words := slices.Concat(h.within, []string{filepath.Join(h.dir, "bin", "carob")}, args)
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Env = h.env
	c.Dir = h.dir
	c.WaitDelay = 5 * time.Second
	return c
}

// run runs carob with these arguments and no input.
func (h *host) run(args ...string) result { return h.feed("", args...) }

// feed runs carob with this standard input.
func (h *host) feed(stdin string, args ...string) result {
	h.Helper()
	c := h.cmd(args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if stdin != "" {
		c.Stdin = strings.NewReader(stdin)
	}
	began := time.Now()
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.Fatalf("carob %s: %v", strings.Join(args, " "), err)
	}
	if c.ProcessState.ExitCode() < 0 {
		h.Errorf("carob %s: does not end; killed after %v", strings.Join(args, " "), time.Since(began))
	}
	return result{out.String(), errs.String(), c.ProcessState.ExitCode(), time.Since(began)}
}

// ok runs carob, wants exit code 0 and returns its output without the last newline.
func (h *host) ok(args ...string) string {
	h.Helper()
	r := h.run(args...)
	if r.code != 0 {
		h.Fatalf("carob %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return strings.TrimSuffix(r.out, "\n")
}

// code runs carob and wants this exit code.
func (h *host) code(want int, args ...string) result {
	h.Helper()
	r := h.run(args...)
	if r.code != want {
		h.Fatalf("carob %s: exit %d, want %d\n%s%s", strings.Join(args, " "), r.code, want, r.out, r.err)
	}
	return r
}

// name returns a name nobody else uses.
func (h *host) name(kind string) string {
	clean := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "#", "-", ",", "").Replace(h.Name()))
	return kind + "-" + clean
}

// container starts a container in the background that sleeps and goes with the
// test; it returns the name. More arguments go before the image.
func (h *host) container(kind string, args ...string) string {
	h.Helper()
	name := h.name(kind)
	h.ok(append(append([]string{"run", "-d", "--name", name}, args...), image, "sleep", "1000000")...)
	h.Cleanup(func() { h.run("rm", "-f", name) })
	return name
}

// pid returns the pid of a container's first process, as inspect says.
func (h *host) pid(name string) int {
	h.Helper()
	pid, err := strconv.Atoi(h.ok("inspect", "--format", "{{.State.Pid}}", name))
	if err != nil || pid <= 0 {
		h.Fatalf("pid of %s: %d, %v", name, pid, err)
	}
	return pid
}

// apply gives a manifest to `carob apply -f -` and deletes its pod at the end.
func (h *host) apply(manifest, pod string) {
	h.Helper()
	if r := h.feed(manifest, "apply", "-f", "-"); r.code != 0 {
		h.Fatalf("apply: exit %d\n%s%s", r.code, r.out, r.err)
	}
	h.Cleanup(func() { h.run("delete", "pod", pod) })
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range strings.Lines(h.ok("pods", "--no-trunc", "--format", "{{.ID}} {{.Name}}")) {
		if f := strings.Fields(l); len(f) == 2 && f[1] == pod {
			h.pods[f[0]] = true
		}
	}
}

// ns returns a namespace of a process as the kernel shows it: "net:[4026531840]". One that
// has several threads and executes another program has none until that has begun.
func (h *host) ns(pid int, kind string) (s string) {
	h.Helper()
	var err error
	h.eventually("a process has its "+kind+" namespace", func() bool {
		s, err = os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		return err == nil
	})
	return s
}

// eventually waits until ok holds.
func (h *host) eventually(what string, ok func() bool) {
	h.Helper()
	if !wait(20*time.Second, ok) {
		h.Fatalf("still not so: %s", what)
	}
}

// wait asks every 10 ms whether something has become so, longer on a slow machine.
func wait(most time.Duration, ok func() bool) bool {
	for end := time.Now().Add(testenv.Patience(most)); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return ok()
}

// line reads one line from a pipe without buffering past it.
func line(r io.Reader) (string, error) {
	var b []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil || one[0] == '\n' {
			return string(b), err
		}
		b = append(b, one[0])
	}
}
