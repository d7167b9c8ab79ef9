package oci

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/ocispec"
)

// nobody is a user without any right on the host.
const nobody = 54321

// own gives the bundle to the user.
func (b *box) own() {
	b.Helper()
	b.must(filepath.Walk(b.dir, func(name string, _ os.FileInfo, err error) error {
		if err == nil && !strings.HasSuffix(name, "bin/toolbox") { // which may be the built file itself
			err = os.Lchown(name, nobody, nobody)
		}
		return err
	}))
}

// rootless makes calls of the runtime those of root of a user namespace that such a user
// has made, in a mount namespace of its own, kept by a process that sleeps.
func (b *box) rootless() {
	b.Helper()
	for _, tool := range []string{"unshare", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			b.Skip("no ", tool)
		}
	}
	b.own()
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
	ocispec.Rootless(b.spec, 0, 0)
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

// plain makes calls of the runtime those of a user who is root nowhere; script, if there is
// one, is run before them, as root in a mount namespace of the call's own.
func (b *box) plain(script string) {
	b.Helper()
	b.own()
	b.before = []string{"setpriv", "--reuid", strconv.Itoa(nobody), "--regid", strconv.Itoa(nobody), "--clear-groups", "--"}
	if script != "" {
		b.before = append([]string{"unshare", "--mount", "sh", "-ec", script + `; exec "$@"`, "sh"}, b.before...)
	}
	ocispec.Rootless(b.spec, nobody, nobody)
	b.spec.Linux.CgroupsPath = ""
	b.sh("true")
	b.write()
	if out, err := b.try("run", b.id); err != nil && strings.Contains(out, "namespaces: clone") {
		b.Skipf("this host lets no user make a user namespace: %s", out)
	}
}

// TestNotRoot: a user who is root nowhere has containers, whose root is that user.
func TestNotRoot(t *testing.T) {
	b := newBox(t)
	b.plain("")
	b.sh("echo $(id -u) $(cat /proc/self/uid_map); touch /tmp/x; cat; exit 7")
	b.write()
	cmd := b.cmd("run", b.id)
	cmd.Stdin = strings.NewReader("from stdin")
	out, err := cmd.Output()
	if string(out) != "0 0 54321 1\nfrom stdin" || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("run: %v: %q", err, out)
	}
	b.start()
	if got := b.exec(`id -u; readlink /proc/self/ns/user`); got != "0\n"+b.namespace("user") {
		t.Errorf("exec: %q", got)
	}
	if got := b.proc("status"); !strings.Contains(got, "Uid:\t54321\t54321") {
		t.Errorf("the process is another user's: %s", got)
	}
	if out, err := b.try("exec", b.id, "nosuch"); err == nil || !strings.Contains(out, "executable file not found") {
		t.Errorf("a command that is not there: %v: %s", err, out)
	}
	if got := b.call("list", "--quiet"); got != b.id {
		t.Errorf("list: %q", got)
	}
	b.call("kill", b.id, "KILL")
	b.eventually("stopped", func() bool { return b.state().Status == specs.StateStopped })
	b.call("delete", b.id)

	for want, change := range map[string]func(){
		"requires user namespaces":        func() { b.spec.Linux.Namespaces = b.spec.Linux.Namespaces[:1] },
		"linux.uidMappings: without root": func() { b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 1, Size: 1}} },
		"linux.gidMappings: without root": func() { b.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 1, HostID: nobody, Size: 1}} },
		"linux.uidMappings: more than": func() {
			b.spec.Linux.UIDMappings = append(b.spec.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 1, HostID: 100000, Size: 5})
		},
	} {
		spec := *b.spec
		linux := *spec.Linux
		b.spec.Linux = &linux
		change()
		if want == "requires user namespaces" {
			b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = nil, nil
			b.spec.Linux.Namespaces = append(linux.Namespaces[:1:1], specs.LinuxNamespace{Type: "mount"}, specs.LinuxNamespace{Type: "uts"})
		}
		b.write()
		if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %s, want %s", err, out, want)
		}
		b.spec = &spec
	}
	if out, err := b.try("checkpoint", b.id); err == nil || !strings.Contains(out, "takes root") {
		t.Errorf("checkpoint: %v: %s", err, out)
	}
}

// TestNotRootWithMoreUsers: what /etc/subuid gives to the user, the container has.
func TestNotRootWithMoreUsers(t *testing.T) {
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no ", tool)
		}
	}
	b := newBox(t)
	script := ""
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/:/bin/sh\nplain:x:54321:54321::/:/bin/sh\n", "group": "root:x:0:\nplain:x:54321:\n",
		"subuid": "plain:300000:1000\n", "subgid": "plain:400000:1000\n",
	} {
		b.must(os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644))
		script += "touch /etc/" + name + "; mount --bind " + filepath.Join(b.dir, name) + " /etc/" + name + "; "
	}
	b.plain(strings.TrimSuffix(script, "; "))
	b.spec.Linux.UIDMappings = append(b.spec.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 1, HostID: 300000, Size: 1000})
	b.spec.Linux.GIDMappings = append(b.spec.Linux.GIDMappings, specs.LinuxIDMapping{ContainerID: 1, HostID: 400000, Size: 1000})
	b.spec.Process.User = specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{7}}
	b.start()
	if got := b.proc("status"); !strings.Contains(got, "Uid:\t300032\t") || !strings.Contains(got, "Gid:\t400033\t") || !strings.Contains(got, "Groups:\t400006") {
		t.Errorf("the process's users: %s", got)
	}
	if got := b.exec("id"); !strings.Contains(got, "uid=33") || !strings.Contains(got, "gid=34") {
		t.Errorf("exec: %s", got)
	}
	if got := b.call("exec", "--user", "0:0", b.id, "/bin/sh", "-c", "touch /tmp/a; chmod 600 /tmp/a; id -u"); got != "0" {
		t.Errorf("exec as root: %s", got)
	}
	b.call("kill", b.id, "TERM") // another user's process
	b.eventually("stopped", func() bool { return b.state().Status == specs.StateStopped })
	b.call("delete", b.id)
}
