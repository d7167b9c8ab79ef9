package oci

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestConfigIsHostile: huge, deep, cut and twisted configurations are refused, and nothing
// has been made (class: unbounded parsers).
func TestConfigIsHostile(t *testing.T) {
	for name, text := range map[string]string{
		"huge":      `{"ociVersion":"1.0.0","hostname":"` + strings.Repeat("a", 9<<20) + `"}`,
		"deep":      `{"ociVersion":"1.0.0","annotations":` + strings.Repeat(`{"a":`, 100000) + strings.Repeat("}", 100000) + `}`,
		"cut":       `{"ociVersion":"1.0.0","process":{"args":["tru`,
		"empty":     ``,
		"null":      `null`,
		"no object": `[1,2]`,
		"types":     `{"ociVersion":"1.0.0","process":{"user":{"uid":-1},"args":["true"]}}`,
		"uid":       `{"ociVersion":"1.0.0","process":{"user":{"uid":4294967296},"args":["true"],"cwd":"/"}}`,
		"NUL":       `{"ociVersion":"1.0.0","process":{"args":["true\u0000x"],"cwd":"/"},"root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"mount"}]}}`,
		"overflow": `{"ociVersion":"1.0.0","process":{"args":["true"],"cwd":"/"},"root":{"path":"rootfs"},"linux":{"namespaces":[{"type":"mount"},{"type":"user"}],` +
			`"uidMappings":[{"containerID":0,"hostID":4294967290,"size":100}],"gidMappings":[{"containerID":0,"hostID":1,"size":1}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.must(os.WriteFile(filepath.Join(b.dir, "config.json"), []byte(text), 0o644))
			if out, err := b.try("run", b.id); err == nil || strings.Contains(out, "panic") || len(out) > 1000 {
				t.Errorf("%v: %.300s", err, out)
			}
		})
	}
}

// TestIDs: an id never leaves the state directory.
func TestIDs(t *testing.T) {
	b := newBox(t)
	b.sh("true")
	b.write()
	for _, id := range []string{"../x", "a/b", ".", "..", "a b", "a\nb", strings.Repeat("a", 1025)} {
		for _, c := range []string{"run", "state", "delete"} {
			if out, err := b.try(c, "--", id); err == nil || !strings.Contains(out, "invalid container ID format") {
				t.Errorf("%s %q: %v: %s", c, id, err, out)
			}
		}
	}
}

// TestOwnProgram: a container whose command is the runtime itself cannot write to its
// file (CVE-2019-5736).
func TestOwnProgram(t *testing.T) {
	b := newBox(t)
	text, err := os.ReadFile(b.binary)
	b.must(err)
	own := filepath.Join(b.dir, "carob-oci")
	b.must(os.WriteFile(own, text, 0o755))
	b.binary = own
	b.spec.Process.Capabilities.Bounding = append(b.spec.Process.Capabilities.Bounding, "CAP_DAC_OVERRIDE")
	b.spec.Process.Args = []string{"/proc/self/exe", "--root", "/tmp", "list"}
	b.write()
	out, err := b.try("run", b.id)
	if err != nil || !strings.Contains(out, "ID ") {
		t.Fatalf("the runtime in its container: %v: %s", err, out)
	}
	// What it is executed from there is a mount that is read-only and nobody's.
	b.start()
	if got := b.proc("mountinfo"); strings.Contains(got, own+" ") {
		t.Errorf("the runtime's file is among the mounts: %s", got)
	}
	// The process that waits is such an execution until it is started.
	b.call("delete", "--force", b.id)
	b.spec.Process.Args = []string{"/bin/sleep", "1000"}
	b.write()
	b.detached("create", b.id)
	if !unwritable(b, strconv.Itoa(b.state().Pid)) {
		t.Error("the program of a waiting container can be written to when it has been started")
	}
	if now, err := os.ReadFile(own); err != nil || !bytes.Equal(now, text) {
		t.Errorf("the program has changed: %v", err)
	}
}

// unwritable tells whether what a process executes lies on a read-only mount. That it cannot
// be opened while it is executed says nothing of later.
func unwritable(b *box, pid string) bool {
	var st syscall.Statfs_t
	b.must(syscall.Statfs("/proc/"+pid+"/exe", &st))
	const readOnly = 1 // ST_RDONLY
	return st.Flags&readOnly != 0
}

// TestOwnProgramAsHook: a startContainer hook is looked up in the image, and it is start that
// executes it there (CVE-2019-5736).
func TestOwnProgramAsHook(t *testing.T) {
	b := newBox(t)
	b.must(syscall.Mkfifo(b.rootfs("tmp/log"), 0o600)) // who opens it to write waits for a reader
	b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{
		Path: "/proc/self/exe", Args: []string{"hook", "--debug", "--log", "/tmp/log", "--root", "/tmp", "list"},
	}}}
	b.spec.Process.Args = []string{"/bin/true"}
	b.write()
	b.detached("create", b.id)
	start := b.cmd("start", b.id)
	b.must(start.Start())
	hook := ""
	b.eventually("the hook runs", func() bool {
		children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", start.Process.Pid))
		for _, name := range children {
			text, _ := os.ReadFile(name)
			hook = strings.TrimSpace(string(text))
			if cmdline, _ := os.ReadFile("/proc/" + hook + "/cmdline"); hook != "" && strings.HasPrefix(string(cmdline), "hook") {
				return true
			}
		}
		return false
	})
	if !unwritable(b, hook) {
		t.Error("the program of a hook can be written to when the hook has ended")
	}
	log, err := os.Open(b.rootfs("tmp/log"))
	b.must(err)
	defer log.Close()
	b.must(start.Wait())
}

// TestDescriptors: what the caller has open, the container has not (CVE-2024-21626), but for
// what is asked for.
func TestDescriptors(t *testing.T) {
	b := newBox(t)
	secret, err := os.Open("/sys/fs/cgroup")
	b.must(err)
	defer secret.Close()
	b.sh(`ls /proc/self/fd; for n in 3 4 5 6 7 8 9 10; do readlink /proc/$$/fd/$n; done; true`)
	b.write()
	cmd := b.cmd("run", b.id)
	cmd.ExtraFiles = []*os.File{secret, secret}
	out, err := cmd.CombinedOutput()
	if err != nil || lines(string(out), "/sys/fs/cgroup") != 0 {
		t.Errorf("%v: %s", err, out)
	}
	b.sh(`readlink /proc/$$/fd/3; readlink /proc/$$/fd/4; true`)
	b.write()
	cmd = b.cmd("run", "--preserve-fds", "1", b.id)
	cmd.ExtraFiles = []*os.File{secret, secret}
	if out, err := cmd.CombinedOutput(); err != nil || lines(string(out), "/sys/fs/cgroup") != 1 {
		t.Errorf("one was to be preserved: %v: %s", err, out)
	}
	cmd = b.cmd("run", "--preserve-fds", "3", b.id)
	cmd.ExtraFiles = []*os.File{secret, secret}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "--preserve-fds: descriptor 5 is not open") {
		t.Errorf("one more than there are: %v: %s", err, out)
	}
}

// TestListeningSockets: sockets of socket activation are passed on, and named, when they are for
// carob-oci; those of an engine above it, whose environment it has, are closed.
func TestListeningSockets(t *testing.T) {
	b := newBox(t)
	secret, err := os.Open("/sys/fs/cgroup")
	b.must(err)
	defer secret.Close()
	b.sh(`readlink /proc/$$/fd/3; env; true`)
	b.write()
	for pid, want := range map[string]int{"$$": 1, "1": 0} {
		b.before = []string{"/bin/sh", "-c", `LISTEN_FDS=1 LISTEN_PID=` + pid + ` exec "$0" "$@"`}
		cmd := b.cmd("run", b.id)
		cmd.ExtraFiles = []*os.File{secret, secret}
		out, err := cmd.CombinedOutput()
		for _, line := range []string{"/sys/fs/cgroup", "LISTEN_FDS=1", "LISTEN_PID=1"} {
			if err != nil || lines(string(out), line) != want {
				t.Errorf("for process %s: %v: %d times %s in %q", pid, err, lines(string(out), line), line, out)
			}
		}
	}
	b.before = nil
}

// lines counts the lines that are exactly this. The toolbox, a Go program, has files below
// /sys/fs/cgroup open itself.
func lines(text, line string) (n int) {
	for l := range strings.Lines(text) {
		if strings.TrimSpace(l) == line {
			n++
		}
	}
	return n
}

// TestWaitingHoldsNothing: a created container's process has the two FIFOs open and
// nothing of the host's besides.
func TestWaitingHoldsNothing(t *testing.T) {
	b := newBox(t)
	b.spec.Process.Args = []string{"/bin/sleep", "1000"}
	b.write()
	b.detached("create", b.id)
	dir := fmt.Sprintf("/proc/%d/fd", b.state().Pid)
	entries, err := os.ReadDir(dir)
	b.must(err)
	var others []string
	for _, e := range entries {
		to, _ := os.Readlink(filepath.Join(dir, e.Name()))
		if !strings.HasPrefix(to, b.dir) && to != "/dev/null" {
			others = append(others, to)
		}
	}
	if len(others) > 0 || len(entries) != 5 {
		t.Errorf("open: %d, among them %q", len(entries), others)
	}
}

// TestWorkingDirectory: a working directory that leads out is refused (CVE-2024-21626).
func TestWorkingDirectory(t *testing.T) {
	for _, dir := range []string{"/proc/self/fd/3", "/proc/self/fd/7/../..", "/proc/1/root", "/proc/self/cwd"} {
		b := newBox(t)
		b.sh("echo ran")
		b.spec.Process.Cwd = dir
		b.write()
		if out, err := b.try("run", b.id); err == nil || strings.Contains(out, "ran") {
			t.Errorf("%s: %v: %s", dir, err, out)
		}
	}
}

// link puts a link into the place of something in the root.
func link(b *box, name, to string) {
	b.must(os.RemoveAll(b.rootfs(name)))
	b.must(os.Symlink(to, b.rootfs(name)))
}

// unmasked leaves out the masks, which are looked up without links, too.
func unmasked(b *box) { b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil }

// TestHostileRoot: links in the place of what is mounted lead nowhere outside, and what
// belongs to the kernel's file systems is not mounted through a link at all.
func TestHostileRoot(t *testing.T) {
	outside := func(b *box) string {
		dir := filepath.Join(b.dir, "outside")
		b.must(os.MkdirAll(dir, 0o755))
		return dir
	}
	for name, c := range map[string]struct {
		set     func(b *box)
		refused bool
	}{
		"volume over a link": {func(b *box) {
			link(b, "data", outside(b))
			add(b, specs.Mount{Destination: "/data/below", Type: "tmpfs", Source: "tmpfs"})
		}, false},
		"relative link": {func(b *box) {
			link(b, "data", "../../../../../../../.."+outside(b))
			add(b, specs.Mount{Destination: "/data/below", Type: "tmpfs", Source: "tmpfs"})
		}, false},
		"proc": {func(b *box) { link(b, "proc", "tmp"); unmasked(b) }, true},
		"sys":  {func(b *box) { link(b, "sys", "tmp"); unmasked(b) }, true},
		"dev to a directory": {func(b *box) {
			link(b, "dev", "tmp")
			unmasked(b)
		}, true},
		"dev": {func(b *box) { link(b, "dev", outside(b)) }, true},
		"dev without a mount": {func(b *box) {
			link(b, "dev", outside(b))
			b.spec.Mounts = b.spec.Mounts[:1]
		}, false},
		"file over a link": {func(b *box) {
			b.must(os.MkdirAll(b.rootfs("etc"), 0o755))
			link(b, "etc/hosts", filepath.Join(outside(b), "made"))
			add(b, specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: filepath.Join(b.dir, "config.json"), Options: []string{"bind"}})
		}, false},
		"volume through a link into /proc": {func(b *box) {
			link(b, "data", "/proc/sys")
			add(b, specs.Mount{Destination: "/data/kernel", Type: "tmpfs", Source: "tmpfs"})
		}, true},
		"volume over a link into /proc": {func(b *box) {
			b.must(os.MkdirAll(b.rootfs("proc/1/attr"), 0o755))
			link(b, "data", "tmp/../proc/1")
			add(b, specs.Mount{Destination: "/data/attr", Type: "tmpfs", Source: "tmpfs"})
		}, true},
		"volume by the host's path into /proc": {func(b *box) {
			add(b, specs.Mount{Destination: b.rootfs("proc/sys/kernel"), Type: "tmpfs", Source: "tmpfs"})
		}, true},
		"working directory": {func(b *box) {
			link(b, "data", outside(b))
			b.spec.Process.Cwd = "/data/below"
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			c.set(b)
			b.sh("echo ran")
			b.write()
			out, err := b.try("run", b.id)
			if ran := strings.Contains(out, "ran"); c.refused && (err == nil || ran) {
				t.Errorf("not refused: %s", out)
			}
			if left, _ := os.ReadDir(filepath.Join(b.dir, "outside")); len(left) > 0 {
				t.Errorf("made outside of the root: %v", left)
			}
		})
	}
}

// TestMaskIsTheNullDevice: what hides a file is the kernel's null device, whatever an image
// has at /dev/null (CVE-2025-31133).
func TestMaskIsTheNullDevice(t *testing.T) {
	b := newBox(t)
	b.must(os.Symlink("/proc/sys/kernel/core_pattern", b.rootfs("dev/null")))
	b.spec.Linux.MaskedPaths = []string{"/proc/uptime"}
	if got := b.run(`cat /proc/uptime; stat -c "%t %T" /proc/uptime`); got != "1 3" {
		t.Errorf("got %q", got)
	}
	b.spec.Mounts = b.spec.Mounts[:1] // no /dev that would cover it
	b.sh("true")
	b.write()
	for _, what := range []string{"a link", "a file"} {
		if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, "/dev/null") {
			t.Errorf("%s at /dev/null: %v: %s", what, err, out)
		}
		b.must(os.Remove(b.rootfs("dev/null")))
		b.must(os.WriteFile(b.rootfs("dev/null"), []byte("the image's"), 0o600))
	}
}
