package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/api/server"
	"carob/internal/fault"
	"carob/internal/sys/session"
)

// TestMain makes the test binary the daemon when it is started as one.
func TestMain(m *testing.M) {
	if run := os.Getenv("LAUNCH_TEST_RUN"); run != "" {
		if err := daemon(run); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func daemon(run string) error {
	if os.Getenv("LAUNCH_TEST_FAIL") != "" {
		return errors.New("no luck today")
	}
	ctx, stop := signal.NotifyContext(context.Background(), session.Quit()...)
	defer stop()
	door, err := Open(Dirs{run, os.Getenv("LAUNCH_TEST_ROOT")}, filepath.Join(run, SocketName), Activation{})
	if err != nil {
		return err
	}
	if err := Ready(ReadyFD); err != nil {
		return err
	}
	err = server.Serve(ctx, door, server.Services{
		Engine: struct{ server.Engine }{}, Host: api.Host{About: api.About{Version: strconv.Itoa(os.Getpid())}}, Log: slog.New(slog.DiscardHandler),
	})
	return errors.Join(err, door.Release())
}

func starter(t *testing.T, note *bytes.Buffer, env ...string) Starter {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(t.TempDir(), "run")
	return Starter{
		Socket: filepath.Join(run, SocketName), RunDir: run, Command: []string{exe},
		Env: append(env, "LAUNCH_TEST_RUN="+run, "LAUNCH_TEST_ROOT="+run+".root"), Note: note,
	}
}

func dirs(s Starter) Dirs { return Dirs{s.RunDir, s.RunDir + ".root"} }

func ask(t *testing.T, s Starter) string {
	t.Helper()
	c, err := s.Dial(t.Context())
	if err != nil {
		t.Error(err)
		return ""
	}
	defer c.Close()
	v, err := client.Call(t.Context(), c, api.Version, api.None{})
	if err != nil {
		t.Error(err)
	}
	return v.Version
}

// quit ends the daemon and waits until it let go of the run directory.
func quit(t *testing.T, s Starter, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(session.Quit()[0]); err != nil {
		t.Fatal(err)
	}
	door, err := Open(dirs(s), s.Socket, Activation{})
	for late := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(late); time.Sleep(5 * time.Millisecond) {
		door, err = Open(dirs(s), s.Socket, Activation{})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := door.Release(); err != nil {
		t.Error(err)
	}
	_, _ = p.Wait() // the shared process table; it may not be our child any more
}

// Many clients that find no daemon start one, and one of them says so.
func TestManyStartOne(t *testing.T) {
	var note bytes.Buffer // written under start.lock
	s := starter(t, &note)
	pids := make([]string, 8)
	var all sync.WaitGroup
	for i := range pids {
		all.Go(func() { pids[i] = ask(t, s) })
	}
	all.Wait()
	for _, p := range pids {
		if p != pids[0] {
			t.Errorf("daemons %v", pids)
			break
		}
	}
	if strings.Count(note.String(), "\n") != 1 || !strings.Contains(note.String(), "started the daemon") {
		t.Errorf("said %q", note.String())
	}
	quit(t, s, pids[0])
	if _, err := os.Stat(s.Socket); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestDaemonThatFails(t *testing.T) {
	s := starter(t, &bytes.Buffer{}, "LAUNCH_TEST_FAIL=1")
	_, err := s.Dial(t.Context())
	if !fault.Is(err, fault.Unavailable) || !strings.HasSuffix(err.Error(), "no luck today") {
		t.Errorf("got %v", err)
	}
}

// A dead daemon's socket is in nobody's way, a living one's keeps others out.
func TestOneDaemonPerRunDirectory(t *testing.T) {
	s := starter(t, &bytes.Buffer{})
	pid := ask(t, s)
	if _, err := Open(dirs(s), s.Socket, Activation{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
	info, err := os.Stat(s.Socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
	quit(t, s, pid)
}

func TestDialWithoutCommand(t *testing.T) {
	s := Starter{Socket: filepath.Join(t.TempDir(), "none"), RunDir: t.TempDir()}
	if _, err := s.Dial(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

// TestListenTakesNoFileAway: a path that was given by mistake costs nobody a file.
func TestListenTakesNoFileAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); !fault.Is(err, fault.Exists) {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time in place of the first, as after a crash
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

// TestOneDaemonPerRootDirectory: what one daemon knows of images and logs another takes
// for litter, so that a second one with a run directory of its own is kept out.
func TestOneDaemonPerRootDirectory(t *testing.T) {
	first := Dirs{filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "root")}
	door, err := Open(first, filepath.Join(first.Run, SocketName), Activation{})
	if err != nil {
		t.Fatal(err)
	}
	second := Dirs{filepath.Join(t.TempDir(), "run"), first.Root}
	_, err = Open(second, filepath.Join(second.Run, SocketName), Activation{})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), first.Run) || !strings.Contains(err.Error(), first.Root) {
		t.Errorf("got %v", err)
	}
	if err := door.Release(); err != nil {
		t.Fatal(err)
	}
	if door, err = Open(second, filepath.Join(second.Run, SocketName), Activation{}); err != nil {
		t.Fatal(err)
	}
	if err := door.Release(); err != nil {
		t.Error(err)
	}
}

// TestDeadDaemonsRootDirectory: the locks of a killed daemon go one after the other; a
// daemon of the same run directory that has got the one waits for the other.
func TestDeadDaemonsRootDirectory(t *testing.T) {
	d := Dirs{filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "root")}
	socket := filepath.Join(d.Run, SocketName)
	dead, err := Open(d, socket, Activation{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dead.Close(), dead.run.Close()); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		door, err := Open(d, socket, Activation{})
		if err == nil {
			err = door.Release()
		}
		opened <- err
	}()
	if err := dead.root.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// TestReadyTellsSystemd: a unit of Type=notify is up when the daemon answers, and what
// the daemon starts afterwards cannot speak for it.
func TestReadyTellsSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	if err := Ready(0); err != nil {
		t.Fatal(err)
	}
	_ = manager.SetReadDeadline(time.Now().Add(time.Second)) // it is there already, or never
	said := make([]byte, 64)
	n, err := manager.Read(said)
	if err != nil || string(said[:n]) != "READY=1" {
		t.Errorf("systemd hears %q, %v", said[:n], err)
	}
	if s, there := os.LookupEnv("NOTIFY_SOCKET"); there {
		t.Errorf("NOTIFY_SOCKET=%s is passed on", s)
	}
}
