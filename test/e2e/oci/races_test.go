package oci

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// began starts a call whose end is not waited for.
func (b *box) began(args ...string) (cmd *exec.Cmd, said *bytes.Buffer) {
	b.Helper()
	cmd, said = b.cmd(args...), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	b.must(cmd.Start())
	return cmd, said
}

// TestDeleteOfAnother: a delete that has waited while its container was deleted, and one of
// its name was created, leaves that alone.
func TestDeleteOfAnother(t *testing.T) {
	for _, force := range []string{"--force", "--force=false"} {
		b := newBox(t)
		b.start()
		b.call("kill", b.id, "KILL")
		b.eventually("it stops", func() bool { return b.state().Status == specs.StateStopped })
		state, old := filepath.Join(b.root, b.id), filepath.Join(b.dir, "old")
		lock, err := os.Open(state) // as a command that changes the container holds it
		b.must(err)
		b.must(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
		remove, said := b.began("delete", force, b.id)
		waits := fmt.Sprintf("-> FLOCK  ADVISORY  WRITE %d ", remove.Process.Pid)
		b.eventually("delete waits", func() bool {
			locks, err := os.ReadFile("/proc/locks")
			return err == nil && strings.Contains(string(locks), waits)
		})
		b.must(os.Rename(state, old))
		b.detached("create", b.id)
		lock.Close()
		if err := remove.Wait(); (err == nil) != (force == "--force") || err != nil && !strings.Contains(said.String(), "container does not exist") {
			t.Errorf("delete %s of what is no more: %v: %s", force, err, said)
		}
		if s := b.state(); s.Status != specs.StateCreated {
			t.Errorf("delete %s: the other container is %s", force, s.Status)
		}
	}
}

// TestDeleteWhileCreated: a create whose directory is taken away fails, and what another
// has made there meanwhile stays.
func TestDeleteWhileCreated(t *testing.T) {
	b := newBox(t)
	gate := filepath.Join(b.dir, "gate")
	b.must(syscall.Mkfifo(gate, 0o600))
	group := b.spec.Linux.CgroupsPath
	b.spec.Linux.CgroupsPath += "/slow"
	b.spec.Process.Args = []string{"/bin/sleep", "1000"}
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "read x < " + gate}}}}
	b.write()
	slow, said := b.began("create", b.id)
	var hold *os.File
	b.eventually("the hook runs", func() bool {
		f, err := os.OpenFile(gate, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		hold = f
		return err == nil
	})
	b.call("delete", "--force", b.id)
	b.spec.Linux.CgroupsPath, b.spec.Hooks = group+"/other", nil
	b.write()
	b.detached("create", b.id)
	_, err := hold.WriteString("\n")
	b.must(err)
	hold.Close()
	if err := slow.Wait(); err == nil || !strings.Contains(said.String(), "has been deleted while it was created") {
		t.Errorf("a create without its directory: %v: %s", err, said)
	}
	if s := b.state(); s.Status != specs.StateCreated {
		t.Errorf("the other container is %s", s.Status)
	}
	b.call("start", b.id)
	b.call("delete", "--force", b.id)
	removeGroups(b, group)
}

// removeGroups removes the parent that containers' own groups were made below.
func removeGroups(b *box, name string) {
	for _, pattern := range []string{"/sys/fs/cgroup" + name, "/sys/fs/cgroup/*" + name} {
		all, _ := filepath.Glob(pattern)
		for _, dir := range all {
			b.must(os.Remove(dir))
		}
	}
}

// TestPauseBeforeStart: a created container can be paused; it is not started then, and goes
// on where it was.
func TestPauseBeforeStart(t *testing.T) {
	b := newBox(t)
	b.spec.Process.Args = []string{"/bin/sleep", "1000"}
	b.write()
	b.detached("create", b.id)
	b.call("pause", b.id)
	if s := b.state(); s.Status != "paused" {
		t.Errorf("status %s", s.Status)
	}
	if out, err := b.try("start", b.id); err == nil || !strings.Contains(out, "cannot start a container in the paused state") {
		t.Fatalf("start: %v: %s", err, out)
	}
	b.call("resume", b.id)
	if s := b.state(); s.Status != specs.StateCreated {
		t.Errorf("status %s", s.Status)
	}
	b.call("start", b.id)
	b.call("pause", b.id)
	b.call("delete", "--force", b.id)
}
