// Package oci drives the built carob-oci as an engine would: bundles in directories, flags,
// exit codes, files. What a field of the configuration does is observed from inside of
// the container, or by the kernel's word about its process. Every test has a state
// directory and a cgroup of its own and leaves neither behind.
package oci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/ocispec"
	"carob/internal/testenv"
	"carob/test/e2e/reap"
)

// count numbers bundles within this process.
var count atomic.Int64

func TestMain(m *testing.M) { reap.Main(m.Run) }

// box is a bundle and the runtime's directory for it.
type box struct {
	*testing.T
	dir    string // of the bundle
	root   string // of the runtime's state
	binary string
	id     string
	spec   *specs.Spec
	global []string // flags before the command
	before []string // a command that executes the call
	within int      // whose user and mount namespace calls are made in, 0 for this one's
}

// newBox makes a bundle of the toolbox, as `carob-oci spec` would configure it, without a
// terminal and with a writable root.
func newBox(t *testing.T) *box {
	t.Helper()
	testenv.Require(t, testenv.Root, testenv.Cgroup, testenv.Binaries)
	bin, err := testenv.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "carob-oci-test-")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{
		T: t, dir: dir, root: filepath.Join(dir, "state"), binary: filepath.Join(bin, "carob-oci"),
		id: fmt.Sprintf("test-%d-%d", os.Getpid(), count.Add(1)), spec: ocispec.Default(),
	}
	t.Cleanup(b.clean)
	b.must(os.Chmod(dir, 0o755))
	b.fill(filepath.Join(bin, "carob-toolbox"))
	b.spec.Process.Terminal, b.spec.Root.Readonly = false, false
	b.spec.Linux.CgroupsPath = "/carob-oci-test/" + b.id
	return b
}

func (b *box) rootfs(name ...string) string {
	return filepath.Join(append([]string{b.dir, "rootfs"}, name...)...)
}

// fill makes the root file system: the toolbox under the names of its tools.
func (b *box) fill(toolbox string) {
	b.Helper()
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp", "etc"} {
		b.must(os.MkdirAll(b.rootfs(d), 0o755))
	}
	if os.Link(toolbox, b.rootfs("bin/toolbox")) != nil {
		text, err := os.ReadFile(toolbox)
		b.must(err)
		b.must(os.WriteFile(b.rootfs("bin/toolbox"), text, 0o755))
	}
	for _, tool := range strings.Fields("sh cat echo id ls mkdir touch stat grep sleep true false readlink env hostname ps kill test chmod mknod mount head ip") {
		b.must(os.Symlink("toolbox", b.rootfs("bin", tool)))
	}
}

func (b *box) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// clean takes away the container, and fails the test if anything of it stays.
func (b *box) clean() {
	if out, err := b.try("delete", "--force", b.id); err != nil {
		b.Errorf("delete: %v: %s", err, out)
	}
	if left, _ := os.ReadDir(b.root); len(left) > 0 {
		b.Errorf("left in the state directory: %v", left)
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/carob-oci-test/" + b.id)
	v2, _ := filepath.Glob("/sys/fs/cgroup/carob-oci-test/" + b.id)
	if left := append(groups, v2...); len(left) > 0 {
		b.Errorf("left: %v", left)
	}
	if err := os.RemoveAll(b.dir); err != nil {
		b.Error(err)
	}
}

// write writes the configuration.
func (b *box) write() {
	b.Helper()
	text, err := json.Marshal(b.spec)
	b.must(err)
	b.must(os.WriteFile(filepath.Join(b.dir, "config.json"), text, 0o644))
}

// cmd is a call of the runtime.
func (b *box) cmd(args ...string) *exec.Cmd {
	argv := slices.Concat([]string{b.binary, "--root", b.root}, b.global, args)
	if b.within != 0 {
		argv = append([]string{"nsenter", "-t", strconv.Itoa(b.within), "--user", "--mount", "--wd=" + b.dir, "--preserve-credentials"}, argv...)
	}
	argv = slices.Concat(b.before, argv)
	cmd := exec.Command(argv[0], argv[1:]...)
	if b.within != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Dir = b.dir
	cmd.WaitDelay = testenv.Patience(20 * time.Second)
	return cmd
}

// try calls the runtime and returns what it wrote, both streams.
func (b *box) try(args ...string) (string, error) {
	out, err := b.cmd(args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// call is try that must succeed.
func (b *box) call(args ...string) string {
	b.Helper()
	out, err := b.try(args...)
	if err != nil {
		b.Fatalf("%v: %v: %s", args, err, out)
	}
	return out
}

// sh makes the container run a script.
func (b *box) sh(script string) { b.spec.Process.Args = []string{"/bin/sh", "-c", script} }

// run runs a script in a new container and returns what it wrote.
func (b *box) run(script string) string {
	b.Helper()
	b.sh(script)
	b.write()
	return b.call("run", b.id)
}

// start leaves a container running that sleeps; exec then runs a script in it.
func (b *box) start() {
	b.Helper()
	b.spec.Process.Args = []string{"/bin/sleep", "1000"}
	b.write()
	b.detached("create", b.id)
	b.call("start", b.id)
}

// detached calls the runtime with streams that are files: the container keeps them.
func (b *box) detached(args ...string) {
	b.Helper()
	var complaint bytes.Buffer
	out, err := os.Create(filepath.Join(b.dir, "output"))
	b.must(err)
	defer out.Close()
	log := filepath.Join(b.dir, "log")
	cmd := b.cmd(append([]string{"--log", log}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log)
		b.Fatalf("%v: %v: %s%s", args, err, complaint.String(), text)
	}
}

func (b *box) exec(script string) string {
	b.Helper()
	return b.call("exec", b.id, "/bin/sh", "-c", script)
}

// state is the container's state.
func (b *box) state() specs.State {
	b.Helper()
	var s specs.State
	b.must(json.Unmarshal([]byte(b.call("state", b.id)), &s))
	return s
}

// namespace names a namespace of the container's first process.
func (b *box) namespace(kind string) string {
	b.Helper()
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.state().Pid, kind))
	b.must(err)
	return name
}

// proc reads a file of the container's first process, as the host sees it.
func (b *box) proc(name string) string {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.state().Pid, name))
	b.must(err)
	return string(text)
}

// eventually waits for a condition.
func (b *box) eventually(what string, is func() bool) {
	b.Helper()
	for end := time.Now().Add(testenv.Patience(10 * time.Second)); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s: not within the time", what)
		}
	}
}

// own tells whether a cgroup file of the container exists, and reads it.
func (b *box) group(controller, v1, v2 string) string {
	b.Helper()
	name := filepath.Join("/sys/fs/cgroup", controller, b.spec.Linux.CgroupsPath, v1)
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		name = filepath.Join("/sys/fs/cgroup", b.spec.Linux.CgroupsPath, v2)
	}
	text, err := os.ReadFile(name)
	b.must(err)
	return strings.TrimSpace(string(text))
}

func pointer[T any](v T) *T { return &v }
