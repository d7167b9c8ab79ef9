// Package launch is the door between the command line and the daemon: the one end
// finds the daemon's socket and starts a daemon when nobody listens, the other
// makes the socket and sees to it that one daemon alone serves a run directory, and one
// alone a root directory: what a daemon does not know in its images, logs and volumes it
// takes for litter.
//
// Files in the run directory: api.sock, 0600; daemon.lock, held by the daemon and
// with its pid as content; start.lock, held by the client that starts a daemon;
// daemon.log and daemon.log.1, what such a daemon says. In the root directory: root.lock, held by the
// daemon, with its run directory and its pid as content.
package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"carob/internal/api/client"
	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/session"
)

// SocketName is the socket's name in the run directory.
const SocketName = "api.sock"

// maxSocket is how long the path of a unix socket may be: unix(7), without the zero byte.
const maxSocket = 107

// ready is what a daemon writes to its --ready-fd once it answers.
const ready = "ready\n"

// ReadyFD is the descriptor a daemon is started with to say that it is ready.
const ReadyFD = 3

// Starter finds a daemon or starts one.
type Starter struct {
	// Socket and RunDir are the daemon's.
	Socket, RunDir string
	// Command starts a daemon in the foreground; "--ready-fd=3" is added.
	Command []string
	// Env is the daemon's whole environment.
	Env []string
	// Note gets the one line that tells the user.
	Note io.Writer
}

// Dial connects to the daemon, starting it when nobody listens. Of many that find
// none at once, one starts it and the others wait for that.
func (s Starter) Dial(ctx context.Context) (*client.Client, error) {
	if len(s.Socket) > maxSocket {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("socket %s: a path of %d bytes, %d is the most; set CAROB_RUN or CAROB_SOCKET to a shorter one", s.Socket, len(s.Socket), maxSocket))
	}
	c, err := client.Dial(s.Socket)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fault.Wrap(fault.Denied, "daemon: only root may use it", err)
	}
	if err == nil || !fd.NobodyListens(err) {
		return c, err
	}
	if len(s.Command) == 0 {
		return nil, err
	}
	if err := os.MkdirAll(s.RunDir, 0o711); err != nil {
		return nil, s.refused(err)
	}
	lock, err := fd.Lock(filepath.Join(s.RunDir, "start.lock"), true)
	if err != nil {
		return nil, s.refused(err)
	}
	defer func() { _ = lock.Close() }() // lets the next one in
	if c, err := client.Dial(s.Socket); err == nil || !fd.NobodyListens(err) {
		return c, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return client.Dial(s.Socket)
}

func (s Starter) refused(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.Wrap(fault.Denied, "daemon: does not run, and only root can start it", err)
	}
	return fault.Wrap(fault.Unavailable, "daemon: start", err)
}

// LogPath is the log of a daemon of this run directory that a client has started.
func LogPath(runDir string) string { return filepath.Join(runDir, "daemon.log") }

func (s Starter) logPath() string { return LogPath(s.RunDir) }

// start starts the daemon in a session of its own and returns when it answers.
func (s Starter) start(ctx context.Context) error {
	log, err := os.OpenFile(s.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return s.refused(err)
	}
	defer func() { _ = log.Close() }() // the daemon has its own
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return s.refused(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return s.refused(err)
	}
	defer func() { _ = r.Close() }() // one line is read
	cmd := exec.Command(s.Command[0], append(s.Command[1:len(s.Command):len(s.Command)], "--ready-fd="+strconv.Itoa(ReadyFD))...)
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.ExtraFiles = "/", s.Env, log, []*os.File{w}
	session.Detach(cmd)
	err = cmd.Start()
	_ = w.Close() // the daemon has its own; without one the read below ends
	if err != nil {
		return s.refused(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	said, err := io.ReadAll(io.LimitReader(r, int64(len(ready))))
	switch {
	case string(said) == ready:
		fmt.Fprintf(s.Note, "carob: started the daemon (carob serve), log in %s\n", s.logPath())
		return cmd.Process.Release()
	case ctx.Err() != nil:
		return errors.Join(ctx.Err(), cmd.Process.Release())
	case err != nil:
		return errors.Join(s.refused(err), cmd.Process.Release())
	}
	_ = cmd.Wait() // its exit code says less than its last words
	return fault.New(fault.Unavailable, "daemon: does not start: "+lastLine(s.logPath(), from))
}

// lastLine is what a daemon said last, after from.
func lastLine(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // only read from
	b, err := io.ReadAll(io.NewSectionReader(f, from, 64<<10))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	if last := lines[len(lines)-1]; len(last) > 0 {
		return strings.TrimPrefix(string(last), "carob: ")
	}
	return "it said nothing; see " + path
}

// Door is a daemon's listening socket, and the locks on its directories.
type Door struct {
	net.Listener
	run, root *os.File
}

// Dirs are a daemon's directories: Run for what a reboot forgets, Root for the rest.
type Dirs struct{ Run, Root string }

// Activation is what systemd passes to a socket-activated service (sd_listen_fds(3)).
type Activation struct{ PID, FDs string }

// Open takes the locks on both directories, which it makes, and listens on the socket, or
// on what systemd passed. A daemon that is ending is waited for; one that still answers is
// a Conflict, and so is one of another run directory that has the root directory.
func Open(dirs Dirs, socket string, act Activation) (*Door, error) {
	run, err := lockRun(dirs.Run, socket)
	if err != nil {
		return nil, err
	}
	root, err := lockRoot(dirs)
	if err != nil {
		return nil, errors.Join(err, run.Close())
	}
	l, err := listen(socket, act)
	if err != nil {
		return nil, errors.Join(err, root.Close(), run.Close())
	}
	// The pids are for people; nothing reads them.
	note(run, strconv.Itoa(os.Getpid()))
	note(root, dirs.Run+"\n"+strconv.Itoa(os.Getpid()))
	return &Door{Listener: l, run: run, root: root}, nil
}

// note makes a line the content of a lock: it helps whoever finds it held, no more.
func note(lock *os.File, line string) {
	if err := lock.Truncate(0); err == nil {
		_, _ = lock.WriteAt([]byte(line+"\n"), 0)
	}
}

func lockRun(dir, socket string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fault.Wrap(fault.Denied, "run directory", err)
	}
	path := filepath.Join(dir, "daemon.lock")
	lock, err := fd.Lock(path, false)
	if fault.Is(err, fault.Conflict) {
		if c, derr := client.Dial(socket); derr == nil {
			_ = c.Close() // it was only a question
			return nil, fault.New(fault.Conflict, "another daemon serves "+dir)
		}
		lock, err = fd.Lock(path, true)
	}
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "run directory", err)
	}
	return lock, nil
}

// lockRoot waits only for a daemon of the same run directory, which is ending: this one
// holds its lock. A killed one lets go of the two in any order.
func lockRoot(dirs Dirs) (*os.File, error) {
	if err := os.MkdirAll(dirs.Root, 0o711); err != nil {
		return nil, fault.Wrap(fault.Denied, "root directory", err)
	}
	path := filepath.Join(dirs.Root, "root.lock")
	lock, err := fd.Lock(path, false)
	if fault.Is(err, fault.Conflict) {
		b, rerr := os.ReadFile(path)
		run, _, _ := strings.Cut(string(b), "\n")
		if rerr != nil || run != dirs.Run {
			return nil, fault.New(fault.Conflict, "another daemon, of "+run+", has "+dirs.Root+": give this one a root directory of its own (CAROB_ROOT, --root)")
		}
		lock, err = fd.Lock(path, true)
	}
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "root directory", err)
	}
	return lock, nil
}

func listen(socket string, act Activation) (net.Listener, error) {
	if act.PID == strconv.Itoa(os.Getpid()) && act.FDs != "" && act.FDs != "0" {
		f := os.NewFile(3, "systemd")    // SD_LISTEN_FDS_START
		defer func() { _ = f.Close() }() // the listener has a duplicate
		l, err := net.FileListener(f)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, "socket passed by systemd", err)
		}
		return l, nil
	}
	return Listen(socket)
}

// Listen makes a socket that only this user can connect to, in place of one that a dead
// daemon has left: the caller holds the lock on the run directory. What is no socket is
// not touched.
func Listen(socket string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o711); err != nil {
		return nil, fault.Wrap(fault.Denied, "socket", err)
	}
	if info, err := os.Lstat(socket); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fault.New(fault.Exists, "socket "+socket+": there is something else by this name")
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) { // the lock says it is a dead daemon's
		return nil, fault.Wrap(fault.Denied, "socket", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "socket", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil { // until here SO_PEERCRED keeps others out
		return nil, errors.Join(fault.Wrap(fault.Internal, "socket", err), l.Close())
	}
	return l, nil
}

// Ready tells whoever started the daemon that it answers: at number, which is --ready-fd,
// 0 when nobody waits there, and systemd, where the unit is of Type=notify.
func Ready(number int) error {
	_, err := systemd.SdNotify(true, systemd.SdNotifyReady) // true: what the daemon starts has nothing to say to systemd
	if number == 0 {
		return err
	}
	f := os.NewFile(uintptr(number), "ready")
	if f == nil {
		return errors.Join(err, fault.New(fault.Invalid, "--ready-fd: not a descriptor"))
	}
	_, werr := io.WriteString(f, ready)
	return errors.Join(err, werr, f.Close())
}

// Release stops listening, if Close has not, which removes the socket unless it is
// systemd's, and then lets the next daemon have the directories: it is the last
// thing that a daemon does.
func (d *Door) Release() error {
	err := d.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, d.root.Close(), d.run.Close())
}
