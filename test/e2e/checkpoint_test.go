package e2e

import (
	"archive/tar"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// counting counts in memory, and writes down how far it has come. It starts nothing: criu
// 4.2 stumbles over a process that ends in the instant in which it is let go. It appends:
// on a disk that is busy discarding, a file that is truncated each time is empty most of it.
const counting = "echo kept > /made; rm /bin/ls; i=0; while :; do i=$((i+1)); echo $i >> /n; done"

// counted shows the last number.
const counted = "tail -n 1 /n; true"

// count is how far a container has come.
func (h *host) count(container string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(h.run("exec", container, "sh", "-c", counted).out)) // 0: it has not begun
	return n
}

// TestCheckpoint: a container goes on where it was, in place and as another from an archive,
// with its files.
func TestCheckpoint(t *testing.T) {
	h := start(t)
	testenv.Require(t, testenv.CRIU)
	h.ok("run", "-d", "--name", "a", "--userns", "host", "--cpus", "0.5", "--restart", "always", image, "sh", "-c", counting)
	h.eventually("it counts", func() bool { return h.count("a") > 2 })
	before := h.count("a")
	h.ok("checkpoint", "a")
	if s := h.ok("inspect", "--format", "{{.State.Status}}", "a"); strings.TrimSpace(s) != "exited" {
		t.Errorf("after the checkpoint it is %s", s)
	}
	h.ok("restore", "a")
	h.eventually("it counts on", func() bool { return h.count("a") > before+2 })

	archive := filepath.Join(h.dir, "a.tar")
	before = h.count("a")
	h.ok("checkpoint", "--leave-running", "--export", archive, "a")
	if info, err := os.Stat(archive); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive: %v, %v", info.Mode(), err)
	}
	h.ok("restore", "--name", "b", "--cgroup-parent", h.parent, "--userns", "host", archive)
	h.eventually("both go on", func() bool { return h.count("b") > before+2 && h.count("a") > before+2 })
	if got := h.ok("exec", "b", "sh", "-c", "cat /made; hostname; test -e /bin/ls || echo gone"); got != "kept\nb\ngone" {
		t.Errorf("the other sees %q", got)
	}
	h.ok("rm", "-f", "a", "b")
}

// TestCheckpointGivesNoRights: what an archive says of rights is held against what the flags say,
// and nothing of it runs if it is too much.
func TestCheckpointGivesNoRights(t *testing.T) {
	h := start(t)
	testenv.Require(t, testenv.CRIU)
	h.ok("run", "-d", "--name", "a", "--userns", "host", "--cpus", "0.5", image, "sh", "-c", counting)
	h.eventually("it counts", func() bool { return h.count("a") > 2 })
	archive := filepath.Join(h.dir, "a.tar")
	h.ok("checkpoint", "--export", archive, "a")
	for want, flags := range map[string][]string{
		"capabilities 0x1 in Cap":                  {"--userns", "host", "--cap-drop", "CHOWN"},
		"new privileges":                           {"--userns", "host", "--security-opt", "no-new-privileges"},
		"a writable root file system":              {"--userns", "host", "--read-only"},
		"criu knows no id-mapped mounts":           {},
		"ipc namespace: criu would set the host's": {"--userns", "host", "--ipc", "host"},
	} {
		r := h.run(append(append([]string{"restore", "--name", "b", "--cgroup-parent", h.parent}, flags...), archive)...)
		if r.code != 125 || !strings.Contains(r.err, want) {
			t.Errorf("%v: exit %d, %s, want %q", flags, r.code, r.err, want)
		}
		if s := h.run("inspect", "--format", "{{.State.Status}}", "b").out; strings.TrimSpace(s) == "running" {
			t.Errorf("%v: it runs", flags)
		}
		h.run("rm", "-f", "b") // it need not be there any more
	}
	h.ok("rm", "-f", "a")
}

// TestCheckpointRefusals: archives that are none, and containers that cannot be written down.
func TestCheckpointRefusals(t *testing.T) {
	h := start(t)
	ok := must(t)
	bad := func(name string, entries ...*tar.Header) string {
		f, err := os.Create(filepath.Join(h.dir, name+".tar"))
		ok(err)
		defer f.Close()
		w := tar.NewWriter(f)
		for _, e := range entries {
			ok(w.WriteHeader(e))
			_, err := w.Write(make([]byte, e.Size))
			ok(err)
		}
		ok(w.Close())
		return f.Name()
	}
	nothing := "checkpoint: open" // criu's word, of its images
	if _, err := exec.LookPath("criu"); err != nil {
		nothing = "checkpoints need criu"
	}
	images := &tar.Header{Name: "checkpoint/inventory.img", Mode: 0o600, Typeflag: tar.TypeReg}
	for want, path := range map[string]string{
		"it has no images":               bad("empty"),
		"neither a file nor a directory": bad("link", images, &tar.Header{Name: "checkpoint/x", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}),
		nothing:                          bad("nothing", images),
		"no such file":                   "/no/such.tar",
		"not a regular file":             "/dev/null",
	} {
		r := h.run("run", "--name", "b", "--rm", "--userns", "host", "--checkpoint", path, image)
		if r.code != 125 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit %d, %s, want %q", path, r.code, r.err, want)
		}
	}
	h.ok("run", "-d", "--name", "a", image, "sleep", "1000")
	for want, args := range map[string][]string{
		"criu knows no id-mapped mounts": {"checkpoint", "a"},
		"has to be exported":             {"checkpoint", "--leave-running", "a"},
		"no such container":              {"checkpoint", "nobody"},
	} {
		if r := h.run(args...); r.code == 0 || !strings.Contains(r.err, want) {
			t.Errorf("%v: exit %d, %s, want %q", args, r.code, r.err, want)
		}
	}
	if s := h.ok("inspect", "--format", "{{.State.Status}}", "a"); strings.TrimSpace(s) != "running" {
		t.Errorf("it is %s", s)
	}
	h.ok("rm", "-f", "a")
}

// TestCRICheckpoint: the kubelet's checkpoint of a container goes on by CreateContainer; a pod of
// two is written down at one instant, goes on itself, and is restored as another.
func TestCRICheckpoint(t *testing.T) {
	h := start(t)
	testenv.Require(t, testenv.CRIU)
	k := h.kubelet()
	s := k.sandbox(nil)
	pod := k.runPod(s)
	ids := map[string]string{}
	var configs []*cri.ContainerConfig
	for _, name := range []string{"one", "two"} {
		r := k.ask(pod, s, counting)
		r.Config.Metadata.Name, r.Config.LogPath = name, name+"/0.log"
		r.Config.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100_000, CpuQuota: 50_000}
		ids[name] = k.create(r)
		k.start(ids[name])
		configs = append(configs, r.Config)
	}
	reaches := func(id string, n int) {
		k.Helper()
		k.eventually("it counts", func() bool {
			got, err := strconv.Atoi(k.exec(id, counted))
			return err == nil && got > n
		})
	}
	reaches(ids["one"], 2)
	reaches(ids["two"], 2)

	location := filepath.Join(k.dir, "one.tar")
	if _, err := k.CheckpointContainer(k.ctx, &cri.CheckpointContainerRequest{ContainerId: ids["one"], Location: location, Timeout: 50}); err != nil {
		t.Fatal(err)
	}
	again := k.ask(pod, s, "")
	again.Config.Metadata.Name, again.Config.Command, again.Config.LogPath = "again", nil, "again/0.log"
	again.Config.Image.Image = location
	id := k.create(again)
	k.start(id)
	reaches(id, 2)
	if _, err := k.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}

	dir := filepath.Join(k.dir, "pod-checkpoint")
	must(t)(os.Mkdir(dir, 0o700))
	request := &cri.CheckpointPodRequest{PodSandboxId: pod, OutputPath: dir, ContainerIds: []string{ids["one"]}}
	if _, err := k.CheckpointPod(k.ctx, request); err == nil {
		t.Error("a checkpoint without one of the containers that run")
	}
	request.ContainerIds = append(request.ContainerIds, ids["two"])
	if _, err := k.CheckpointPod(context.Background(), request); err == nil {
		t.Error("a checkpoint without a deadline")
	}
	if _, err := k.CheckpointPod(k.ctx, request); err != nil {
		t.Fatal(err)
	}
	one, _ := strconv.Atoi(k.exec(ids["one"], counted))
	reaches(ids["one"], one+2) // it goes on

	other := k.sandbox(func(c *cri.PodSandboxConfig) { c.Metadata.Name, c.Metadata.Uid = "other", "other" })
	restore := &cri.RestorePodRequest{CheckpointPath: dir, Config: other, ContainerConfigs: configs[:1]}
	if _, err := k.RestorePod(k.ctx, restore); err == nil {
		t.Error("a restore of one of two")
	}
	restore.ContainerConfigs = configs
	made, err := k.RestorePod(k.ctx, restore)
	if err != nil {
		t.Fatal(err)
	}
	k.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(20*time.Second))
		defer cancel()
		if _, err := k.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: made.GetPodSandboxId()}); err != nil {
			t.Error(err)
		}
	})
	for _, c := range made.GetRestoredContainers() {
		if got := k.status(c.GetContainerId()).GetState(); got != cri.ContainerState_CONTAINER_CREATED {
			t.Errorf("%s is %s before it is started", c.GetName(), got)
		}
		k.start(c.GetContainerId())
		reaches(c.GetContainerId(), 2)
	}
}

// must ends the test at an error.
func must(t *testing.T) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}
