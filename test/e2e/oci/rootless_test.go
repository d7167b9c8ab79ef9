package oci

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/ocispec"
)

// nobody is a user without any right on the host.
const nobody = 54321

// rootless makes calls of the runtime those of root of a user namespace that such a user
// has made, in a mount namespace of its own, kept by a process that sleeps.
func (b *box) rootless() {
	b.Helper()
	for _, tool := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skip("no ", tool)
		}
	}
	b.must(filepath.Walk(b.dir, func(name string, _ os.FileInfo, err error) error {
		if err == nil && !strings.HasSuffix(name, "bin/toolbox") { // which may be the built file itself
			err = os.Lchown(name, nobody, nobody)
		}
		return err
	}))
	ready, write, err := os.Pipe()
	b.must(err)
	defer ready.Close()
	keeper := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "echo; exec sleep 1000")
	keeper.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	keeper.Stdout, keeper.Stderr = write, write
	b.must(keeper.Start())
	write.Close()
	b.Cleanup(func() {
		if b.within != 0 {
			b.call("delete", "--force", b.id)
		}
		b.within = 0
		_ = keeper.Process.Kill()
		_ = keeper.Wait()
	})
	said := make([]byte, 256)
	if n, err := ready.Read(said); err != nil || n != 1 {
		b.Skipf("this host lets no user make a user namespace: %s", said[:max(n, 0)])
	}
	b.within = keeper.Process.Pid
	ocispec.Rootless(b.spec)
	b.spec.Linux.CgroupsPath = ""
}

// TestRootless: without root's rights on the host a container has devices of the host's and
// no cgroup; all the rest is as ever.
func TestRootless(t *testing.T) {
	b := newBox(t)
	b.rootless()
	b.start()
	if got := b.exec(`id -u; test -c /dev/null && echo x >/dev/null && head -c 1 /dev/zero | grep -c . ; readlink /dev/fd; echo $$`); !strings.HasPrefix(got, "0\n") || !strings.Contains(got, "/proc/self/fd") {
		t.Errorf("an exec writes %q", got)
	}
	if got := b.proc("status"); !strings.Contains(got, "Uid:\t54321\t54321") {
		t.Errorf("the process is another user's: %s", got)
	}
	if out, err := b.try("pause", b.id); err == nil || !strings.Contains(out, "without a cgroup") {
		t.Errorf("pause: %v: %s", err, out)
	}
	b.call("kill", b.id, "KILL")
	b.eventually("stopped", func() bool { return b.state().Status == specs.StateStopped })
	b.call("delete", b.id)

	b.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer(int64(50))}}
	b.write()
	if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, "cgroup") {
		t.Errorf("a limit that cannot be given: %v: %s", err, out)
	}
	b.spec.Linux.Resources, b.spec.Process.User.AdditionalGids = nil, []uint32{7}
	b.write()
	if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, "user") {
		t.Errorf("groups that cannot be given: %v: %s", err, out)
	}
}

// TestNotRoot: a user who is root nowhere hears how to become it.
func TestNotRoot(t *testing.T) {
	b := newBox(t)
	cmd := b.cmd("list")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "unshare") {
		t.Errorf("list: %v: %s", err, out)
	}
}
