package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Tests named after escapes from other engines. They try with --userns host, where root in
// the container is the host's: what holds there does not hang on the user namespace that a
// container has otherwise.

// bait is a directory of the host that no container was given, with a file.
func (h *host) bait() (dir string) {
	h.Helper()
	dir = h.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("the host's\n"), 0o644); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			h.Errorf("the host's directory holds %v, %v", left, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "secret")); string(text) != "the host's\n" {
			h.Errorf("the host's file holds %q, %v", text, err)
		}
	})
	return dir
}

// hostile makes an image: the toolbox's files, changed.
func (h *host) hostile(change func(root string) error) (name string) {
	h.Helper()
	root := h.TempDir()
	tar := exec.Command(filepath.Join(h.dir, "bin", "carob-toolbox"), "--rootfs")
	unpack := exec.Command("tar", "-x", "-C", root)
	unpack.Stdin, _ = tar.StdoutPipe()
	for _, err := range []error{unpack.Start(), tar.Run(), unpack.Wait(), change(root)} {
		if err != nil {
			h.Fatal(err)
		}
	}
	name = "hostile/" + h.name("image")
	h.ok("image", "import", root, name)
	h.Cleanup(func() { h.ok("image", "rm", name) })
	return name
}

// TestCVE20195736 has a container execute what the runtime's process is, and write to it
// meanwhile: the programs of the host must stay as they are.
func TestCVE20195736(t *testing.T) {
	h := start(t)
	programs := func() (sums string) {
		for _, name := range []string{"carob", "carobd", "carob-look", "carob-pod", "carob-toolbox"} {
			b, err := os.ReadFile(filepath.Join(h.dir, "bin", name))
			if err != nil {
				t.Fatal(err)
			}
			sums += fmt.Sprintf("%s %x\n", name, sha256.Sum256(b))
		}
		return sums
	}
	before := programs()
	name := h.name("c")
	h.ok("run", "-d", "--name", name, "--userns", "host", image, "sh", "-c",
		"while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] || (echo overwritten >$p/exe) 2>/dev/null; done; done")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	for range 10 {
		h.run("exec", name, "/proc/self/exe")
		h.ok("exec", name, "true")
	}
	h.run("run", "--rm", "--userns", "host", image, "/proc/self/exe")
	if after := programs(); after != before {
		t.Errorf("programs were\n%s and are\n%s", before, after)
	}
	h.ok("run", "--rm", image, "true")
}

// TestCVE202421626 takes each descriptor of the process that becomes the container's for
// a working directory.
func TestCVE202421626(t *testing.T) {
	h := start(t)
	c := h.container("c", "--userns", "host")
	for n := range 24 {
		dir := fmt.Sprintf("/proc/self/fd/%d", n)
		h.code(125, "run", "--rm", "--userns", "host", "-w", dir, image, "pwd")
		if r := h.run("exec", "-w", dir, c, "pwd"); r.code == 0 {
			t.Errorf("exec in %s: %s", dir, r.out)
		}
	}
}

// TestLeakedDescriptors looks at what a process has open beside its streams (CVE-2024-21626,
// CVE-2016-9962), and whether another in the container sees more while it begins.
func TestLeakedDescriptors(t *testing.T) {
	h := start(t)
	name := h.name("c")
	h.ok("run", "-d", "--name", name, "--userns", "host", image, "sh", "-c",
		"while :; do ls -l /proc/[0-9]*/fd 2>/dev/null; done")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	for range 40 {
		h.ok("exec", name, "true")
	}
	for _, words := range []string{h.run("exec", name, "ls", "-l", "/proc/self/fd").out, h.ok("logs", name)} {
		for l := range strings.Lines(words) {
			_, to, _ := strings.Cut(strings.TrimSpace(l), " -> ")
			for _, ours := range []string{h.dir, "/cgroup.procs", "/tasks", "/carob", "memfd:", "socket:", "mnt:", "net:"} {
				if strings.Contains(to, ours) {
					t.Errorf("open: %s", to)
				}
			}
		}
	}
}

// TestCVE201916884 gives a container a volume where the kernel's files belong: a made up
// /proc would take labels and sysctls that are written there.
func TestCVE201916884(t *testing.T) {
	h := start(t)
	bait := h.bait()
	for _, target := range []string{"/proc", "/proc/self/attr", "/proc/1", "/proc/sys/kernel", "/proc/../proc", "//proc/self"} {
		r := h.code(125, "run", "--rm", "--userns", "host", "-v", bait+":"+target, image, "true")
		oneLine(t, r, "/proc")
	}
}

// TestCVE202641579 gives each directory that carob fills in an image a link out of it, as
// in CVE-2021-30465 and CVE-2026-47766.
func TestCVE202641579(t *testing.T) {
	h := start(t)
	const up = "../../../../../../../.."
	for dir, before := range map[string]string{"dev": "", "proc": up, "sys": "", "etc": up} {
		t.Run(dir, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			bait := h.bait()
			name := h.hostile(func(root string) error {
				path := filepath.Join(root, dir)
				if err := os.RemoveAll(path); err != nil {
					return err
				}
				return os.Symlink(before+bait, path)
			})
			h.code(125, "run", "--rm", "--userns", "host", name, "true")
		})
	}
}

// TestMagicLinks is the same through a magic link of procfs: the root of a process of the
// host's, where those are in sight.
func TestMagicLinks(t *testing.T) {
	h := start(t)
	bait := h.bait()
	name := h.hostile(func(root string) error {
		return os.Symlink(fmt.Sprintf("/proc/%d/root", os.Getpid())+bait, filepath.Join(root, "data"))
	})
	given := t.TempDir()
	for _, args := range [][]string{{"-w", "/data/new"}, {"-v", given + ":/data/sub"}, {"-v", filepath.Join(bait, "secret") + ":/data/file"}} {
		h.run(append(append([]string{"run", "--rm", "--userns", "host", "--pid", "host"}, args...), name, "true")...)
	}
}

// TestCVE202655686 has links on the way to a working directory, to a mount's target and to
// the files of /etc.
func TestCVE202655686(t *testing.T) {
	h := start(t)
	bait := h.bait()
	name := h.hostile(func(root string) error {
		for link, to := range map[string]string{"work": bait, "etc/hosts": bait + "/secret", "etc/resolv.conf": bait + "/new"} {
			at := filepath.Join(root, link)
			_ = os.Remove(at) // most are not there
			if err := os.Symlink(to, at); err != nil {
				return err
			}
		}
		return nil
	})
	given := t.TempDir()
	for _, args := range [][]string{{"-w", "/work/new"}, {"-v", given + ":/work/sub"}, {}} {
		h.run(append(append([]string{"run", "--rm", "--userns", "host"}, args...), name, "sh", "-c", "echo x >/work/written; echo x >/etc/hosts")...)
	}
}

// TestCVE202130465 swaps the directory that a mount goes to for a link while containers
// start.
func TestCVE202130465(t *testing.T) {
	h := start(t)
	bait := h.bait()
	volume := t.TempDir()
	swapper := h.name("swapper")
	h.ok("run", "-d", "--name", swapper, "--userns", "host", "-v", volume+":/v", image, "sh", "-c",
		"while :; do mkdir -p /v/x/sub; mv /v/x /v/y; ln -s "+filepath.Dir(bait)+" /v/x; rm /v/x; mv /v/y /v/x; done")
	t.Cleanup(func() { h.run("rm", "-f", swapper) })
	given := t.TempDir()
	for range 10 {
		r := h.run("run", "--rm", "--userns", "host", "-v", volume+":/v", "-v", given+":/v/x/"+filepath.Base(bait), image,
			"cat", "/v/x/"+filepath.Base(bait)+"/secret", bait+"/secret")
		if strings.Contains(r.out, "the host's") {
			t.Fatal("a container reads the host's file")
		}
	}
	if mounts := readTrim(h, "/proc/self/mountinfo"); strings.Contains(mounts, bait) {
		t.Error("a container's mount is on the host")
	}
}

// TestCVE202531133 puts links where an image has the devices that masks are made of
// (CVE-2025-52565: the console).
func TestCVE202531133(t *testing.T) {
	h := start(t)
	name := h.hostile(func(root string) error {
		dev := filepath.Join(root, "dev")
		if err := os.RemoveAll(dev); err != nil {
			return err
		}
		if err := os.Mkdir(dev, 0o755); err != nil {
			return err
		}
		for _, device := range []string{"null", "console", "ptmx", "pts", "shm", "mqueue"} {
			if err := os.Symlink("/proc/sys/kernel/core_pattern", filepath.Join(dev, device)); err != nil {
				return err
			}
		}
		return nil
	})
	before := readTrim(h, "/proc/sys/kernel/core_pattern")
	out := h.ok("run", "--rm", "-t", "--userns", "host", name, "sh", "-c",
		"stat -c '%t:%T %n' /dev/null /proc/timer_list; { echo x >/proc/timer_list; } 2>/dev/null; stat -c %F /dev/console; readlink /dev/null /dev/console /dev/pts; grep core_pattern /proc/self/mountinfo; true")
	if want := "1:3 /dev/null\r\n1:3 /proc/timer_list\r\ncharacter special file\r"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if after := readTrim(h, "/proc/sys/kernel/core_pattern"); after != before {
		t.Errorf("core_pattern was %q and is %q", before, after)
	}
}

// TestCVE20220811 smuggles a second sysctl into the value or the name of one.
func TestCVE20220811(t *testing.T) {
	h := start(t)
	before := readTrim(h, "/proc/sys/kernel/core_pattern")
	for _, s := range []string{
		"kernel.shm_rmid_forced=1+kernel.core_pattern=|/x", "kernel.shm_rmid_forced=1\nkernel.core_pattern=x",
		"net/../kernel/core_pattern=x", "net.ipv4.../../../kernel.core_pattern=x", "net.ipv4/../../kernel/core_pattern=x",
	} {
		h.code(125, "run", "--rm", "--userns", "host", "--sysctl", s, image, "true")
	}
	if after := readTrim(h, "/proc/sys/kernel/core_pattern"); after != before {
		t.Errorf("core_pattern was %q and is %q", before, after)
	}
}

// TestCVE202440635 names users that overflow into root (CVE-2026-46680: after a first fix).
func TestCVE202440635(t *testing.T) {
	h := start(t)
	for _, user := range []string{"4294967295", "4294967296", "18446744073709551616", "2147483648", "-1", "0:4294967296", "1:-1"} {
		r := h.code(125, "run", "--rm", "--userns", "host", "-u", user, image, "id")
		if r.out != "" {
			t.Errorf("user %s: %s", user, r.out)
		}
	}
}

// TestCVE20249676 executes in a container whose files of users have become a trap.
func TestCVE20249676(t *testing.T) {
	h := start(t)
	bait := h.bait()
	for kind, script := range map[string]string{
		"fifo": "rm /etc/passwd; mkfifo /etc/passwd",
		"link": "rm /etc/passwd; ln -s " + bait + "/secret /etc/passwd",
		"huge": "rm /etc/passwd; truncate -s 1T /etc/passwd",
	} {
		t.Run(kind, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			c := h.container("c", "--userns", "host")
			h.ok("exec", c, "sh", "-c", script)
			r := h.run("exec", "-u", "somebody", c, "id")
			if r.code == 0 || strings.Contains(r.err, "the host's") {
				t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
			}
		})
	}
}

// TestCVE202641568 copies to and from paths that a container has made links of
// (CVE-2019-14271: no code of the container's is run either, for cp runs none).
func TestCVE202641568(t *testing.T) {
	h := start(t)
	bait := h.bait()
	c := h.container("c", "--userns", "host")
	h.ok("exec", c, "sh", "-c", "ln -s "+bait+" /dir; ln -s "+bait+"/secret /file; ln -s "+bait+"/new /new")
	source := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(source, []byte("from outside\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/dir/planted", "/dir/", "/file", "/new"} {
		h.run("cp", source, c+":"+target)
	}
	for _, from := range []string{"/dir/secret", "/file"} {
		stolen := filepath.Join(t.TempDir(), "stolen")
		h.run("cp", c+":"+from, stolen)
		if text, err := os.ReadFile(stolen); err == nil && strings.Contains(string(text), "the host's") {
			t.Errorf("%s is the host's file", from)
		}
	}
}

// TestForeignDevices makes nodes of devices that the container was not given.
func TestForeignDevices(t *testing.T) {
	h := start(t)
	c := h.container("c", "--userns", "host")
	h.code(0, "exec", c, "sh", "-c", "mknod /tmp/null c 1 3 && echo x >/tmp/null")
	for _, device := range []string{"c 1 1", "c 1 2", "b 8 0", "b 254 0", "c 10 200", "c 5 2147483647"} {
		r := h.run("exec", c, "sh", "-c", "rm -f /tmp/node; mknod /tmp/node "+device+" || exit 3; head -c 1 /tmp/node >/dev/null")
		if r.code == 0 {
			t.Errorf("device %s can be read", device)
		}
	}
}

// TestCVE20220492 writes the release_agent of a hierarchy, which the host's kernel would
// execute; CVE-2023-25809 is the same with cgroups that are shared with the host.
func TestCVE20220492(t *testing.T) {
	h := start(t)
	for _, args := range [][]string{{}, {"--cgroupns", "host"}} {
		args = append(append([]string{"run", "--rm", "--userns", "host"}, args...), image, "sh", "-c",
			`for f in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
				[ -e $f ] && (echo /x >$f) 2>/dev/null && echo wrote $f
			done
			mkdir /tmp/c && mount -t cgroup -o memory none /tmp/c 2>/dev/null && echo mounted; true`)
		if out := h.ok(args...); out != "" {
			t.Error(out)
		}
	}
}

// TestCVE202015257 looks for sockets without a path, which every container with the host's
// network reaches.
func TestCVE202015257(t *testing.T) {
	h := start(t)
	h.container("c")
	for l := range strings.Lines(readTrim(h, "/proc/net/unix")) {
		if f := strings.Fields(l); len(f) == 8 && strings.HasPrefix(f[7], "@") && strings.Contains(f[7], "carob") {
			t.Errorf("abstract socket %s", f[7])
		}
	}
	sockets, err := filepath.Glob(filepath.Join(h.dir, "run/pods/*/supervisor.sock"))
	if err != nil || len(sockets) == 0 {
		t.Fatal(sockets, err)
	}
	for _, path := range sockets {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || st.Mode&0o077 != 0 || st.Uid != 0 {
			t.Errorf("%s: mode %o, owner %d, %v", path, st.Mode, st.Uid, err)
		}
	}
}

// TestConsoleIsItsOwn pushes input into the terminal of a container: it must not come out of
// anybody else's, and no terminal of the host is in reach.
func TestConsoleIsItsOwn(t *testing.T) {
	h := start(t)
	out := h.ok("run", "--rm", "-t", "--userns", "host", image, "sh", "-c", "ls /dev/pts; tty; grep -c ' /dev/console ' /proc/self/mountinfo")
	if want := "0\r\nptmx\r\n/dev/pts/0\r\n1\r"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}
