package e2e

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// kubelet is a client of the machine's CRI socket. Its pods go with the test.
type kubelet struct {
	*host
	cri.RuntimeServiceClient
	images cri.ImageServiceClient
	conn   *grpc.ClientConn
	ctx    context.Context
}

// kubelet connects with the daemon, which it starts.
func (h *host) kubelet() *kubelet {
	h.Helper()
	h.ok("ps")
	conn, err := grpc.NewClient("unix://"+filepath.Join(h.dir, "run", "carob.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(40<<20)))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(time.Minute))
	h.Cleanup(cancel)
	return &kubelet{h, cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn), conn, ctx}
}

// sandbox is what a kubelet asks for when a manifest says little. The change bends it.
func (k *kubelet) sandbox(change func(*cri.PodSandboxConfig)) *cri.PodSandboxConfig {
	c := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: k.name("pod"), Uid: k.name("uid"), Namespace: "e2e"},
		Hostname: "host-of-pod", LogDirectory: filepath.Join(k.dir, "podlogs", k.name("pod")),
		Labels: map[string]string{"test": k.name("pod")}, Annotations: map[string]string{"why": "a test"},
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: k.parent,
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
			},
		},
	}
	if change != nil {
		change(c)
	}
	return c
}

func (k *kubelet) runPod(c *cri.PodSandboxConfig) string {
	k.Helper()
	r, err := k.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: c})
	if err != nil {
		k.Fatal(err)
	}
	id := r.GetPodSandboxId()
	k.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.Patience(20*time.Second))
		defer cancel()
		if _, err := k.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
			k.Error(err)
		}
	})
	return id
}

// ask is a container that runs a shell command.
func (k *kubelet) ask(pod string, sandbox *cri.PodSandboxConfig, script string) *cri.CreateContainerRequest {
	return &cri.CreateContainerRequest{
		PodSandboxId: pod, SandboxConfig: sandbox,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "main"}, Image: &cri.ImageSpec{Image: image},
			Command: []string{"sh", "-c", script}, LogPath: "main/0.log", Labels: map[string]string{"test": k.name("pod")},
			Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: sandbox.GetLinux().GetSecurityContext().GetNamespaceOptions(),
			}},
		},
	}
}

func (k *kubelet) create(r *cri.CreateContainerRequest) string {
	k.Helper()
	c, err := k.CreateContainer(k.ctx, r)
	if err != nil {
		k.Fatal(err)
	}
	return c.GetContainerId()
}

func (k *kubelet) start(id string) {
	k.Helper()
	if _, err := k.StartContainer(k.ctx, &cri.StartContainerRequest{ContainerId: id}); err != nil {
		k.Fatal(err)
	}
}

// running is a pod with one container that sleeps, and what it was asked for with.
func (k *kubelet) running(bendPod func(*cri.PodSandboxConfig), bend func(*cri.ContainerConfig)) (pod, container string) {
	k.Helper()
	s := k.sandbox(bendPod)
	pod = k.runPod(s)
	r := k.ask(pod, s, "exec sleep 1000000")
	if bend != nil {
		bend(r.GetConfig())
	}
	container = k.create(r)
	k.start(container)
	return pod, container
}

// exec runs a shell command in a container and returns what it printed.
func (k *kubelet) exec(container, script string) string {
	k.Helper()
	r, err := k.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: container, Cmd: []string{"sh", "-c", script}, Timeout: 20})
	if err != nil {
		k.Fatal(err)
	}
	if r.GetExitCode() != 0 {
		k.Fatalf("%s: exit %d: %s%s", script, r.GetExitCode(), r.GetStdout(), r.GetStderr())
	}
	return strings.TrimSpace(string(r.GetStdout()))
}

func (k *kubelet) status(container string) *cri.ContainerStatus {
	k.Helper()
	r, err := k.ContainerStatus(k.ctx, &cri.ContainerStatusRequest{ContainerId: container})
	if err != nil {
		k.Fatal(err)
	}
	return r.GetStatus()
}

// processOf is the container's first process.
func (k *kubelet) processOf(container string) int {
	k.Helper()
	return k.pid(container)
}

func wantCode(t *testing.T, err error, want codes.Code, what string) {
	t.Helper()
	if got := grpcstatus.Code(err); got != want {
		t.Errorf("%s: %v (%v), want %v", what, got, err, want)
	}
}
