package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// TestCRIAbout: what the kubelet asks a runtime first.
func TestCRIAbout(t *testing.T) {
	k := start(t).kubelet()
	v, err := k.Version(k.ctx, &cri.VersionRequest{})
	if err != nil || v.GetRuntimeName() != "carob" || v.GetRuntimeApiVersion() != "v1" {
		t.Errorf("%v, %v", v, err)
	}
	s, err := k.Status(k.ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	ready := map[string]bool{}
	for _, c := range s.GetStatus().GetConditions() {
		ready[c.GetType()] = c.GetStatus()
	}
	if !ready[cri.RuntimeReady] || !ready[cri.NetworkReady] || s.GetInfo()["config"] == "" {
		t.Errorf("status %v", s)
	}
	if f := s.GetFeatures(); !f.GetSupplementalGroupsPolicy() || !f.GetMountOptions() || len(s.GetRuntimeHandlers()) < 2 {
		t.Errorf("features %v, handlers %v", f, s.GetRuntimeHandlers())
	}
	driver := cri.CgroupDriver_CGROUPFS
	_, booted := os.Stat("/run/systemd/system") // sd_booted(3)
	if _, unified := os.Stat("/sys/fs/cgroup/cgroup.controllers"); booted == nil && unified == nil {
		driver = cri.CgroupDriver_SYSTEMD
	}
	c, err := k.RuntimeConfig(k.ctx, &cri.RuntimeConfigRequest{})
	if err != nil || c.GetLinux().GetCgroupDriver() != driver {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := k.UpdateRuntimeConfig(k.ctx, &cri.UpdateRuntimeConfigRequest{}); err != nil {
		t.Error(err)
	}
	_, err = k.CheckpointPod(k.ctx, &cri.CheckpointPodRequest{})
	wantCode(t, err, codes.NotFound, "no such pod")
	info, err := os.Stat(filepath.Join(k.dir, "run", "carob.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
}

// TestCRISandbox: a sandbox from run to remove, each call twice.
func TestCRISandbox(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	id := k.runPod(s)
	if again := k.runPod(s); again != id {
		t.Errorf("the same request made %s, then %s", id, again)
	}
	other := k.sandbox(func(c *cri.PodSandboxConfig) { c.Hostname = "another" })
	_, err := k.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: other})
	wantCode(t, err, codes.AlreadyExists, "another sandbox of the same name")

	r, err := k.PodSandboxStatus(k.ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	got := r.GetStatus()
	if got.GetState() != cri.PodSandboxState_SANDBOX_READY || got.GetMetadata().GetUid() != s.GetMetadata().GetUid() ||
		got.GetLinux().GetNamespaces().GetOptions().GetPid() != cri.NamespaceMode_CONTAINER {
		t.Errorf("status %v", got)
	}
	if r.GetTimestamp() != 0 {
		t.Error("there is a timestamp: a kubelet v1.37 with EventedPLEG runs init containers again because of it")
	}
	if d := cmp.Diff(s.GetLabels(), got.GetLabels()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(s.GetAnnotations(), got.GetAnnotations()); d != "" {
		t.Error(d)
	}
	if !strings.Contains(r.GetInfo()["info"], "/ns/net") {
		t.Errorf("verbose info without namespaces: %s", r.GetInfo()["info"])
	}
	for name, f := range map[string]*cri.PodSandboxFilter{
		"id": {Id: id}, "label": {LabelSelector: s.GetLabels()}, "state": {Id: id, State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY}},
	} {
		if l := k.listed(f); len(l) != 1 || l[0] != id {
			t.Errorf("listed by %s: %v", name, l)
		}
	}
	for range 2 {
		if _, err := k.StopPodSandbox(k.ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
			t.Error(err)
		}
	}
	if l := k.listed(&cri.PodSandboxFilter{Id: id, State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_NOTREADY}}); len(l) != 1 {
		t.Errorf("stopped, but listed %v", l)
	}
	for range 2 {
		if _, err := k.RemovePodSandbox(k.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
			t.Error(err)
		}
	}
	_, err = k.PodSandboxStatus(k.ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	wantCode(t, err, codes.NotFound, "status of what is gone")
}

func (k *kubelet) listed(f *cri.PodSandboxFilter) (ids []string) {
	k.Helper()
	l, err := k.ListPodSandbox(k.ctx, &cri.ListPodSandboxRequest{Filter: f})
	if err != nil {
		k.Fatal(err)
	}
	stream, err := k.StreamPodSandboxes(k.ctx, &cri.StreamPodSandboxesRequest{Filter: f})
	if err != nil {
		k.Fatal(err)
	}
	streamed := 0
	for {
		some, err := stream.Recv()
		if err != nil {
			break
		}
		streamed += len(some.GetPodSandboxes())
	}
	if streamed != len(l.GetItems()) {
		k.Errorf("listed %d sandboxes, streamed %d", len(l.GetItems()), streamed)
	}
	for _, p := range l.GetItems() {
		ids = append(ids, p.GetId())
	}
	return ids
}

// TestCRIContainer: a container from create to remove.
func TestCRIContainer(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	pod := k.runPod(s)
	r := k.ask(pod, s, `echo out; echo err >&2; exec sleep 1000000`)
	r.Config.StopSignal = cri.Signal_SIGNAL_SIGKILL
	r.Config.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 1000}
	r.Config.Linux.SecurityContext.RunAsGroup = &cri.Int64Value{Value: 2000}
	r.Config.Linux.SecurityContext.SupplementalGroups = []int64{3000}
	r.Config.WorkingDir = "/made/by/runtime"
	id := k.create(r)
	_, err := k.CreateContainer(k.ctx, r)
	wantCode(t, err, codes.AlreadyExists, "a second one of the same name")
	if st := k.status(id); st.GetState() != cri.ContainerState_CONTAINER_CREATED || st.GetStartedAt() != 0 {
		t.Errorf("created: %v", st)
	}
	k.start(id)
	_, err = k.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: id})
	wantCode(t, err, codes.FailedPrecondition, "a second start")
	st := k.status(id)
	if u := st.GetUser().GetLinux(); u.GetUid() != 1000 || u.GetGid() != 2000 || fmt.Sprint(u.GetSupplementalGroups()) != "[2000 3000]" {
		t.Errorf("user %v", u)
	}
	if st.GetState() != cri.ContainerState_CONTAINER_RUNNING || st.GetStopSignal() != cri.Signal_SIGNAL_SIGKILL || st.GetImageId() == "" {
		t.Errorf("running: %v", st)
	}
	if got := k.exec(id, "id -u; id -g; pwd"); got != "1000\n2000\n/made/by/runtime" {
		t.Errorf("runs as %q", got)
	}
	k.eventually("both lines are in the log", func() bool {
		b, _ := os.ReadFile(st.GetLogPath())
		return strings.Contains(string(b), " stdout F out\n") && strings.Contains(string(b), " stderr F err\n")
	})
	if st.GetLogPath() != filepath.Join(s.GetLogDirectory(), "main/0.log") {
		t.Errorf("log at %s", st.GetLogPath())
	}
	if _, err := k.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: 1000}); err != nil {
		t.Error(err)
	}
	if st := k.status(id); st.GetState() != cri.ContainerState_CONTAINER_EXITED || st.GetExitCode() != 137 || st.GetFinishedAt() == 0 {
		t.Errorf("stopped: %v", st)
	}
	for range 2 {
		if _, err := k.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id}); err != nil {
			t.Error(err)
		}
		if _, err := k.RemoveContainer(k.ctx, &cri.RemoveContainerRequest{ContainerId: id}); err != nil {
			t.Error(err)
		}
	}
	_, err = k.ContainerStatus(k.ctx, &cri.ContainerStatusRequest{ContainerId: id})
	wantCode(t, err, codes.NotFound, "status of what is gone")
}

// TestCRIContainerThatCannotStart: it has ended, for the kubelet.
func TestCRIContainerThatCannotStart(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	r := k.ask(k.runPod(s), s, "")
	r.Config.Command = []string{"/no/such/command"}
	id := k.create(r)
	if _, err := k.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: id}); err == nil {
		t.Error("started")
	}
	if st := k.status(id); st.GetState() != cri.ContainerState_CONTAINER_EXITED || st.GetReason() != "StartError" || st.GetExitCode() != 127 || st.GetFinishedAt() == 0 {
		t.Errorf("%v", st)
	}
}

// TestCRITimes: what is created, starts and ends in this order, however soon it ends.
func TestCRITimes(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	pod := k.runPod(s)
	for n := range uint32(20) {
		r := k.ask(pod, s, "")
		r.Config.Metadata.Attempt, r.Config.Command = n, []string{"true"}
		id := k.create(r)
		k.start(id)
		k.eventually("it has ended", func() bool { return k.status(id).GetState() == cri.ContainerState_CONTAINER_EXITED })
		if st := k.status(id); st.GetCreatedAt() > st.GetStartedAt() || st.GetStartedAt() > st.GetFinishedAt() {
			t.Errorf("created %d, started %d, finished %d", st.GetCreatedAt(), st.GetStartedAt(), st.GetFinishedAt())
		}
	}
}

// TestCRIImageNames: a kubelet asks for an image by its ID and tells what the manifest
// calls it. Statuses have that name, and the digest if it came from a registry.
func TestCRIImageNames(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	r := k.ask(k.runPod(s), s, "")
	i, err := k.images.ImageStatus(k.ctx, &cri.ImageStatusRequest{Image: r.GetConfig().GetImage()})
	if err != nil {
		t.Fatal(err)
	}
	r.Config.Image = &cri.ImageSpec{Image: i.GetImage().GetId(), UserSpecifiedImage: image}
	st := k.status(k.create(r))
	if st.GetImage().GetImage() != image || st.GetImageId() != i.GetImage().GetId() || st.GetImageRef() != i.GetImage().GetId() {
		t.Errorf("%v, image ref %s, image ID %s", st.GetImage(), st.GetImageRef(), st.GetImageId())
	}
}

// TestCRISlowStop: a kill is not held up by a stop that waits.
func TestCRISlowStop(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	r := k.ask(k.runPod(s), s, `trap "" TERM; echo ready; while :; do sleep 1000; done`)
	id := k.create(r)
	k.start(id)
	k.eventually("the trap is set", func() bool {
		b, _ := os.ReadFile(k.status(id).GetLogPath())
		return strings.Contains(string(b), "ready")
	})
	slow := make(chan error, 1)
	go func() {
		_, err := k.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id, Timeout: 3600})
		slow <- err
	}()
	short, cancel := context.WithTimeout(k.ctx, 100*time.Millisecond)
	defer cancel()
	_, err := k.StopContainer(short, &cri.StopContainerRequest{ContainerId: id, Timeout: 3600})
	wantCode(t, err, codes.DeadlineExceeded, "a stop with a deadline")
	if _, err := k.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id}); err != nil {
		t.Error(err)
	}
	select {
	case err := <-slow:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testenv.Patience(10 * time.Second)):
		t.Error("the slow stop does not notice the end")
	}
}

// TestCRIOwners: the kubelet sees its own pods only, carob's commands see all.
func TestCRIOwners(t *testing.T) {
	h := start(t)
	k := h.kubelet()
	mine := h.container("mine")
	hidden := h.ok("inspect", "--format", "{{.Id}}", mine)
	pod, container := k.running(nil, nil)
	l, err := k.ListContainers(k.ctx, &cri.ListContainersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range l.GetContainers() {
		if c.GetId() == hidden {
			t.Error("the kubelet sees what is not its own")
		}
	}
	for _, ref := range []string{hidden, mine} {
		_, err = k.ContainerStatus(k.ctx, &cri.ContainerStatusRequest{ContainerId: ref})
		wantCode(t, err, codes.NotFound, "status of "+ref)
		if _, err := k.RemoveContainer(k.ctx, &cri.RemoveContainerRequest{ContainerId: ref}); err != nil {
			t.Error(err)
		}
	}
	if got := h.ok("inspect", "--format", "{{.State.Status}}", mine); got != "running" {
		t.Errorf("the kubelet has removed somebody else's container: %s", got)
	}
	if out := h.ok("ps", "-q", "--no-trunc"); !strings.Contains(out, container) || !strings.Contains(out, hidden) {
		t.Errorf("carob ps shows %s", out)
	}
	if out := h.ok("pods", "-o", "wide"); !strings.Contains(out, "cri") || !strings.Contains(out, pod[:12]) {
		t.Errorf("carob pods shows %s", out)
	}
}

// TestCRIDaemonKilled: pods and exit codes outlive a daemon that is killed.
func TestCRIDaemonKilled(t *testing.T) {
	h := startOwn(t)
	k := h.kubelet()
	_, stays := k.running(nil, nil)
	s := k.sandbox(func(c *cri.PodSandboxConfig) { c.Metadata.Name += "-2" })
	r := k.ask(k.runPod(s), s, "sleep 1; exit 42")
	ends := k.create(r)
	k.start(ends)
	h.kill()
	k.eventually("the next daemon knows the exit code", func() bool {
		h.ok("ps")
		st, err := k.ContainerStatus(k.ctx, &cri.ContainerStatusRequest{ContainerId: ends})
		return err == nil && st.GetStatus().GetExitCode() == 42
	})
	if st := k.status(stays); st.GetState() != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("%v", st)
	}
	if out := k.exec(stays, "echo still here"); out != "still here" {
		t.Error(out)
	}
}
