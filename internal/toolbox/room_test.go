package toolbox

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"carob/internal/testenv"
)

// A room is what every test of a tool runs in: the unpacked image as the root, read
// only, the test's empty directory at /work, and mount, pid, ipc, uts and network
// namespaces of its own. A tool that signals, lists, mounts or reboots finds nothing
// there of the machine that tests it, and no name falls through to the machine's
// programs.
//
// The test binary starts itself into the namespaces; TestMain sees roomVariable, builds
// the room, and becomes the tool, or its parent.
const (
	roomVariable  = "CAROB_TOOLBOX_ROOM" // roomFirst or roomChild
	imageVariable = "CAROB_TOOLBOX_IMAGE"

	// quickEnd: with the race detector, a process that has more than one goroutine sleeps for
	// a second when it ends. There are hundreds of rooms.
	quickEnd = "GORACE=atexit_sleep_ms=0"

	roomFirst = "first" // the tool is process 1
	roomChild = "child" // it is not: its signals' default actions work
)

// TestMain builds the binary once, and unpacks what it says its image is.
func TestMain(m *testing.M) {
	if how := os.Getenv(roomVariable); how != "" {
		code, err := enter(how)
		if err != nil {
			fmt.Fprintln(os.Stderr, "room:", err)
		}
		os.Exit(code)
	}
	dir, err := os.MkdirTemp("", "carob-toolbox-test-")
	if err == nil {
		err = prepare(dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, "toolbox test:", err)
	} else {
		os.Setenv(imageVariable, dir)
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func prepare(dir string) error {
	built := filepath.Join(dir, "built")
	defer os.Remove(built) // the image has it as bin/carob-toolbox
	if err := testenv.Build("carob-toolbox", built); err != nil {
		return err
	}
	var image bytes.Buffer
	cmd := exec.Command(built, "--rootfs")
	cmd.Stdout = &image
	if err := cmd.Run(); err != nil {
		return err
	}
	if err := unpack(&image, dir); err != nil {
		return err
	}
	for _, name := range roomDevices() {
		if err := os.WriteFile(filepath.Join(dir, "dev", name), nil, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(os.Mkdir(filepath.Join(dir, "work"), 0o755), os.Mkdir(filepath.Join(dir, "dev/pts"), 0o755), os.Mkdir(filepath.Join(dir, "dev/mqueue"), 0o755))
}

func roomDevices() []string { return []string{"null", "zero", "full", "tty"} }

func unpack(image io.Reader, dir string) error {
	for r := tar.NewReader(image); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(h.Linkname, path)
		default:
			text, e := io.ReadAll(r)
			err = errors.Join(e, os.WriteFile(path, text, h.FileInfo().Mode()))
		}
		if err != nil {
			return err
		}
	}
}

// enter runs in the new namespaces, before the tool.
func enter(how string) (int, error) {
	asked := make(chan os.Signal, 8) // as early as can be: see the child's parent below
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1)
	if err := furnish(os.Getenv(imageVariable)); err != nil {
		return 99, err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CAROB_TOOLBOX_") || v == quickEnd })
	args := os.Args[1:]
	if how == roomFirst {
		return 99, syscall.Exec("/bin/"+args[0], args, env)
	}
	cmd := exec.Command("/bin/"+args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, env
	if err := cmd.Start(); err != nil {
		return 99, err
	}
	go func() {
		for s := range asked { // the test knows only this process; a terminal knows both
			if !term.IsTerminal(0) {
				cmd.Process.Signal(s)
			}
		}
	}()
	err := cmd.Wait()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return diedBy + int(ws.Signal()), nil
	}
	return exitCode(err), nil
}

// diedBy and a signal's number are a room's exit code when its tool, a child, died by the
// signal; a code that a tool ends with by itself is below.
const diedBy = 190

// furnish makes the image the root and leaves nothing of the machine in sight.
func furnish(image string) error {
	work, err := os.Getwd()
	if err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(image, name) }
	type op struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}
	ops := []op{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{image, image, "", unix.MS_BIND, ""},
		{work, at("work"), "", unix.MS_BIND, ""},
		{"proc", at("proc"), "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{at("proc/sys"), at("proc/sys"), "", unix.MS_BIND, ""},
		{"", at("proc/sys"), "", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"tmpfs", at("tmp"), "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, ""},
		{"/dev/pts", at("dev/pts"), "", unix.MS_BIND, ""}, // tests make terminals there, and tools name theirs
		{"mqueue", at("dev/mqueue"), "mqueue", 0, ""},
	}
	if _, err := os.Stat("/proc/sysrq-trigger"); err == nil {
		ops = append(ops, op{"/dev/null", at("proc/sysrq-trigger"), "", unix.MS_BIND, ""})
	}
	for _, name := range roomDevices() {
		ops = append(ops, op{"/dev/" + name, at("dev/" + name), "", unix.MS_BIND, ""})
	}
	ops = append(ops, op{"", image, "", unix.MS_BIND | unix.MS_REMOUNT | unix.MS_RDONLY, ""})
	for _, o := range ops {
		if err := unix.Mount(o.source, o.target, o.kind, o.flags, o.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", o.source, o.target, err)
		}
	}
	if err := errors.Join(os.Chdir(image), unix.PivotRoot(".", "."), unix.Unmount(".", unix.MNT_DETACH), os.Chdir("/work")); err != nil {
		return fmt.Errorf("pivot: %w", err)
	}
	return errors.Join(loopbackUp(), unix.Sethostname([]byte("room")))
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// command is a tool in a room, a child of the room's first process.
func command(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return inRoom(t, roomChild, name, args...)
}

// firstProcess is a tool that is its room's first process.
func firstProcess(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return inRoom(t, roomFirst, name, args...)
}

func inRoom(t testing.TB, how, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(30*time.Second)) // outlives the test, for its clean-up
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, append([]string{name}, args...)...)
	cmd.Env = []string{"PATH=/bin", "HOME=/root", roomVariable + "=" + how, imageVariable + "=" + os.Getenv(imageVariable), quickEnd}
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		one := func(id int) []syscall.SysProcIDMap {
			return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		}
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = one(os.Geteuid()), one(os.Getegid())
	}
	t.Cleanup(func() {
		if cmd.Process != nil && cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// TestRoom holds the rooms to their promise: only the tool and the room's first process are
// there, and of the machine's files and interfaces nothing.
func TestRoom(t *testing.T) {
	self, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "sh", "-c", "ls /; ls -d /proc/[0-9]*; echo $PATH; hostname; readlink /proc/self/ns/net; echo $$").CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	want := "bin\ndev\netc\nhome\nproc\nroot\nrun\nsys\ntmp\nusr\nvar\nwork\n"
	rest, ok := strings.CutPrefix(string(out), want)
	if !ok || strings.Contains(rest, self) || !strings.Contains(rest, "/bin\nroom\n") || strings.Count(rest, "/proc/") > 4 {
		t.Errorf("%s", out)
	}
}

// within fails a test that waits for a tool for too long.
func within(t *testing.T, limit time.Duration, cmd *exec.Cmd) error {
	t.Helper()
	timer := time.AfterFunc(testenv.Patience(limit), func() { cmd.Process.Kill() })
	defer timer.Stop()
	return cmd.Wait()
}
