package oci

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/testenv"
)

// counts makes the container count in its memory, and write down how far it has come. It
// starts nothing: criu 4.2 stumbles over a process that ends in the instant in which it is
// let go. It appends: a file that is truncated each time is empty most of it on a busy disk.
func (b *box) counts() {
	b.Helper()
	quota, period := int64(10_000), uint64(100_000)
	b.spec.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	b.sh("i=0; while :; do i=$((i+1)); echo $i >> /tmp/n; done")
	b.write()
}

func (b *box) count() int {
	text, _ := os.ReadFile(b.rootfs("tmp/n")) // not there yet
	text = bytes.TrimSpace(text)
	n, _ := strconv.Atoi(string(text[bytes.LastIndexByte(text, '\n')+1:]))
	return n
}

// TestCheckpointGoesOn: what is restored goes on where it was, in a world like the first:
// namespaces, masks, mounts from outside, cgroup, limits, streams.
func TestCheckpointGoesOn(t *testing.T) {
	b := newBox(t)
	testenv.Require(t, testenv.CRIU)
	volume := filepath.Join(b.dir, "volume")
	b.must(os.Mkdir(volume, 0o755))
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/volume", Type: "bind", Source: volume, Options: []string{"rbind", "ro"}})
	limit := int64(64 << 20)
	b.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	b.counts()
	b.detached("create", b.id)
	b.call("start", b.id)
	b.eventually("the container counts", func() bool { return b.count() > 3 })
	look := `cut -d' ' -f 3-6 /proc/self/mountinfo | cut -d' ' -f2- | grep -v cgroup/ | sort; cat /proc/self/cgroup; hostname;
		grep -E 'Cap|Seccomp:|NoNew' /proc/1/status; touch /volume/x 2>&1; head -c1 /proc/keys; cat /proc/1/limits`
	before := b.exec(look)
	images := filepath.Join(b.dir, "images")
	b.call("checkpoint", "--image-path", images, b.id)
	if out, err := b.try("state", b.id); err == nil {
		t.Errorf("after the checkpoint it is still there: %s", out)
	}
	reached := b.count()
	b.detached("restore", "--detach", "--image-path", images, "--pid-file", filepath.Join(b.dir, "pid"), b.id)
	b.eventually("the container counts on", func() bool { return b.count() > reached+3 })
	if after := b.exec(look); after != before {
		t.Errorf("it sees\n%s\nand saw before\n%s", after, before)
	}
	if pid, _ := os.ReadFile(filepath.Join(b.dir, "pid")); string(pid) != strconv.Itoa(b.state().Pid) {
		t.Errorf("pid file %q, state %d", pid, b.state().Pid)
	}
	b.call("kill", b.id, "KILL")
	b.eventually("it ends", func() bool { return b.state().Status == specs.StateStopped })
}

// TestCheckpointLeavesRunning: a pre-dump and a dump based on it, while the container runs.
func TestCheckpointLeavesRunning(t *testing.T) {
	b := newBox(t)
	testenv.Require(t, testenv.CRIU)
	b.counts()
	b.detached("create", b.id)
	b.call("start", b.id)
	b.eventually("the container counts", func() bool { return b.count() > 3 })
	if out, err := b.try("checkpoint", "--pre-dump", "--image-path", b.dir+"/first", b.id); err != nil && !strings.Contains(out, "track") {
		t.Fatalf("pre-dump: %s", out)
	} else if err == nil {
		b.call("checkpoint", "--leave-running", "--parent-path", "../first", "--image-path", b.dir+"/second", b.id)
	} else {
		b.call("checkpoint", "--leave-running", "--image-path", b.dir+"/second", b.id)
	}
	reached := b.count()
	b.eventually("the container counts on", func() bool { return b.count() > reached+3 })
	if s := b.state().Status; s != specs.StateRunning {
		t.Errorf("it is %s", s)
	}
}

// TestCheckpointRefusals: what cannot be done is said by name, and leaves the container and
// nothing else.
func TestCheckpointRefusals(t *testing.T) {
	b := newBox(t)
	b.counts()
	b.detached("create", b.id)
	for _, test := range []struct {
		want string
		args []string
	}{
		{"cannot be checkpointed in created state", []string{"checkpoint", b.id}},
		{"container does not exist", []string{"checkpoint", "nobody"}},
		{"checkpoint/descriptors.json: no such file", []string{"restore", b.id}},
	} {
		if out, err := b.try(test.args...); err == nil || !strings.Contains(out, test.want) {
			t.Errorf("%v: %v, %s", test.args, err, out)
		}
	}
	b.call("start", b.id)
	for _, test := range []struct {
		want string
		args []string
	}{
		{"checkpoints need criu: ", []string{"--criu", "/no/such/criu", "checkpoint", b.id}},
		{"--parent-path must be relative", []string{"checkpoint", "--parent-path", "/tmp", b.id}},
		{"manage-cgroups-mode: hard", []string{"checkpoint", "--manage-cgroups-mode", "hard", b.id}},
		{"--empty-ns: namespace user", []string{"checkpoint", "--empty-ns", "user", b.id}},
		{"is not ADDRESS:PORT", []string{"checkpoint", "--page-server", "here", b.id}},
		{"descriptors.json: no such file", []string{"restore", "--image-path", "/no/such/images", b.id}},
	} {
		if out, err := b.try(test.args...); err == nil || !strings.Contains(out, test.want) {
			t.Errorf("%v: %v, %s", test.args, err, out)
		}
	}
	if s := b.state().Status; s != specs.StateRunning {
		t.Errorf("it is %s", s)
	}
}
