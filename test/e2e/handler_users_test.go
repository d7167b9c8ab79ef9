package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// TestHandlerUsers: a pod with a user namespace of its own under the runtimes that can.
// Its containers share it, own the pod's other namespaces, have their files by its ids, and all
// that survives the daemon.
func TestHandlerUsers(t *testing.T) {
	for _, need := range []testenv.Need{testenv.Runc, testenv.Crun} {
		t.Run(string(need), func(t *testing.T) {
			testenv.Require(t, need)
			h := startOwn(t)
			usersUnder(h, string(need))
		})
	}
}

func usersUnder(h *host, runtime string) {
	if got := h.ok("info", "--format", "{{range .Handlers}}{{.Name}}={{.UserNamespaces}} {{end}}"); !strings.Contains(got, runtime+"=true") {
		h.Errorf("what the handlers can: %s", got)
	}
	volume := filepath.Join(h.dir, "volume")
	if err := os.Mkdir(volume, 0o755); err != nil {
		h.Fatal(err)
	}
	name := h.name("users")
	h.ok("pod", "create", "--runtime", runtime, "--userns", "private", "--cgroup-parent", h.parent, name)
	h.Cleanup(func() { h.run("delete", "pod", name) })
	a, b := name+"/a", name+"/b"
	for _, short := range []string{"a", "b"} {
		h.ok("run", "-d", "--pod", name, "--name", short, "-v", volume+":/v", image, "sleep", "1000")
	}
	inside := func(of string) string { return h.ok("exec", of, "cat", "/proc/1/uid_map") }
	if fields := strings.Fields(inside(a)); len(fields) != 3 || fields[0] != "0" || fields[1] == "0" {
		h.Errorf("uid_map %q", fields)
	}
	for kind, shared := range map[string]bool{"user": true, "net": true, "ipc": true, "uts": true, "mnt": false, "pid": false} {
		at := "/proc/1/ns/" + kind
		if one, two := h.ok("exec", a, "readlink", at), h.ok("exec", b, "readlink", at); (one == two) != shared {
			h.Errorf("%s namespaces %s and %s, shared: want %v", kind, one, two, shared)
		}
	}
	for _, kind := range []string{"net", "ipc", "uts", "pid", "mnt"} {
		if got, want := ownerOf(h, h.pid(a), kind), inode(h.pid(a), "user"); got != want {
			h.Errorf("the %s namespace belongs to user namespace %d, want the pod's, %d", kind, got, want)
		}
	}
	h.ok("exec", a, "sh", "-c", "echo one > /dev/shm/file; echo kept > /v/file; echo x > /file")
	if got := h.ok("exec", b, "cat", "/dev/shm/file"); got != "one" {
		h.Errorf("/dev/shm is not the pod's: %q", got)
	}
	if got := h.ok("exec", a, "sh", "-c", "ls -ln /file /v/file /dev/shm/file"); strings.Count(got, " 0 0 ") != 3 {
		h.Errorf("owners inside %q, want root", got)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(volume, "file"), &st); err != nil || st.Uid != 0 {
		h.Errorf("the volume's file belongs to %d, want root: %v", st.Uid, err)
	}
	if r := h.run("exec", "-t", "-u", "12:34", a, "sh", "-c", "tty; id -u"); r.code != 0 || !strings.HasPrefix(r.out, "/dev/pts/") {
		h.Errorf("a terminal: %+v", r)
	}
	if r := h.run("exec", "-u", "12:34", a, "sh", "-c", "echo out > /dev/stdout"); r.out != "out\n" {
		h.Errorf("the streams are not the user's: %+v", r)
	}
	h.kill()
	pid := h.pid(a)
	h.ok("stop", "-t", "0", b)
	h.ok("start", b)
	if one, two := inside(a), inside(b); one != two || h.pid(a) != pid {
		h.Errorf("uid_map %q and %q after the crash", one, two)
	}
	if one, two := h.ok("exec", a, "readlink", "/proc/1/ns/user"), h.ok("exec", b, "readlink", "/proc/1/ns/user"); one != two {
		h.Errorf("user namespaces %s and %s after the crash", one, two)
	}
	h.ok("delete", "pod", name)
}

// ownerOf is the user namespace that owns one of a process's namespaces (ioctl_ns(2)).
func ownerOf(h *host, pid int, kind string) uint64 {
	h.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		h.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		h.Fatal(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		h.Fatal(err)
	}
	return st.Ino
}
