package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// kubelet asks a runtime for pods in the words of a kubelet v1.37: best effort, with the
// files of a pod on the host that a kubelet always mounts.
type kubelet struct {
	cri.RuntimeServiceClient
	images cri.ImageServiceClient
	// dir holds what a kubelet keeps per pod, parent names the cgroup of all its pods.
	dir, parent string
	// image is the ID of the image, as the runtime knows it.
	image string
	pods  int
}

// steps of a pod's life, in the order in which they are shown.
const (
	stepSandbox = iota
	stepCreate
	stepStart
	stepExec
	stepOne
	stepTwo
	stepEnd
	steps
)

// laps is how long each step took.
type laps [steps]time.Duration

func newKubelet(conn *grpc.ClientConn, dir, parent string) *kubelet {
	return &kubelet{RuntimeServiceClient: cri.NewRuntimeServiceClient(conn), images: cri.NewImageServiceClient(conn), dir: dir, parent: parent}
}

// meet waits for the runtime to be ready, finds the image that it was given, and returns
// the runtime's version.
func (k *kubelet) meet(ctx context.Context) (version string, err error) {
	v, err := k.Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return "", err
	}
	found, err := k.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil {
		return "", err
	}
	if found.GetImage() == nil {
		return "", fmt.Errorf("image %s is not there", image)
	}
	k.image = found.GetImage().GetId()
	return v.GetRuntimeVersion(), nil
}

// live takes a pod of two containers through its life.
func (k *kubelet) live(ctx context.Context, net cri.NamespaceMode) (took laps, err error) {
	p, err := k.newPod(net)
	if err != nil {
		return took, err
	}
	began := time.Now()
	if err := p.run(ctx); err != nil {
		return took, err
	}
	took[stepSandbox] = time.Since(began)
	first, err := p.create(ctx, 0)
	if err != nil {
		return took, err
	}
	took[stepCreate] = time.Since(began) - took[stepSandbox]
	if err := p.start(ctx, first); err != nil {
		return took, err
	}
	took[stepOne] = time.Since(began)
	took[stepStart] = took[stepOne] - took[stepSandbox] - took[stepCreate]
	second, err := p.create(ctx, 1)
	if err != nil {
		return took, err
	}
	if err := p.start(ctx, second); err != nil {
		return took, err
	}
	took[stepTwo] = time.Since(began)

	began = time.Now()
	done, err := k.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: first, Cmd: []string{"true"}, Timeout: 10})
	if err != nil || done.GetExitCode() != 0 {
		return took, fmt.Errorf("ExecSync: exit code %d: %w", done.GetExitCode(), err)
	}
	took[stepExec] = time.Since(began)

	began = time.Now()
	if err := p.end(ctx); err != nil {
		return took, err
	}
	took[stepEnd] = time.Since(began)
	return took, nil
}

// liveAfterAnother is live right after another pod has come up, when carob has nothing
// made ahead.
func (k *kubelet) liveAfterAnother(ctx context.Context, net cri.NamespaceMode) (took laps, err error) {
	other, err := k.newPod(net)
	if err != nil {
		return took, err
	}
	if err := other.run(ctx); err != nil {
		return took, err
	}
	if took, err = k.live(ctx, net); err != nil {
		return took, err
	}
	return took, other.end(ctx)
}

// kubePod is one that a kubelet has decided on: its directories and its cgroup are there.
type kubePod struct {
	k      *kubelet
	config *cri.PodSandboxConfig
	id     string
}

func (k *kubelet) newPod(net cri.NamespaceMode) (*kubePod, error) {
	k.pods++
	uid := fmt.Sprintf("5ca1ab1e-0000-4000-8000-%012d", k.pods)
	name := fmt.Sprintf("bench-%d", k.pods)
	config := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: uid, Namespace: "default"},
		Hostname:     name,
		LogDirectory: filepath.Join(k.dir, "logs", "default_"+name+"_"+uid),
		DnsConfig:    &cri.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"default.svc.cluster.local", "svc.cluster.local", "cluster.local"}, Options: []string{"ndots:5"}},
		Labels:       map[string]string{"app": "bench", "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": uid},
		Annotations:  map[string]string{"kubernetes.io/config.seen": "2026-01-01T00:00:00.000000000Z", "kubernetes.io/config.source": "api"},
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: filepath.Join(k.parent, "besteffort", "pod"+uid),
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Network: net, Pid: cri.NamespaceMode_CONTAINER},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
			Overhead:  &cri.LinuxContainerResources{},
			Resources: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 2},
		},
	}
	if net == cri.NamespaceMode_NODE {
		config.Hostname = ""
	}
	p := &kubePod{k: k, config: config}
	for _, d := range []string{filepath.Join(config.GetLogDirectory(), "a"), filepath.Join(config.GetLogDirectory(), "b"), p.volumes()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	for _, f := range []string{"etc-hosts", "termination-log-0", "termination-log-1"} {
		if err := os.WriteFile(filepath.Join(p.volumes(), f), nil, 0o644); err != nil {
			return nil, err
		}
	}
	return p, makeGroup(config.GetLinux().GetCgroupParent())
}

func (p *kubePod) volumes() string {
	return filepath.Join(p.k.dir, "pods", p.config.GetMetadata().GetUid())
}

func (p *kubePod) run(ctx context.Context) error {
	made, err := p.k.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		return fmt.Errorf("RunPodSandbox: %w", err)
	}
	p.id = made.GetPodSandboxId()
	return nil
}

func (p *kubePod) create(ctx context.Context, i int) (string, error) {
	made, err := p.k.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: p.id, SandboxConfig: p.config, Config: p.container(i)})
	if err != nil {
		return "", fmt.Errorf("CreateContainer: %w", err)
	}
	return made.GetContainerId(), nil
}

func (p *kubePod) start(ctx context.Context, id string) error {
	if _, err := p.k.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id}); err != nil {
		return fmt.Errorf("StartContainer: %w", err)
	}
	return nil
}

// end stops and removes the pod with its containers.
func (p *kubePod) end(ctx context.Context) error {
	if _, err := p.k.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id}); err != nil {
		return fmt.Errorf("StopPodSandbox: %w", err)
	}
	if _, err := p.k.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id}); err != nil {
		return fmt.Errorf("RemovePodSandbox: %w", err)
	}
	return nil
}

// container is what a kubelet asks for when a manifest gives name, image and command.
func (p *kubePod) container(i int) *cri.ContainerConfig {
	meta := p.config.GetMetadata()
	name := string(rune('a' + i))
	volume := func(file, to string, readonly bool) *cri.Mount {
		return &cri.Mount{HostPath: filepath.Join(p.volumes(), file), ContainerPath: to, Readonly: readonly}
	}
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name},
		Image:    &cri.ImageSpec{Image: p.k.image, UserSpecifiedImage: image},
		Command:  []string{"sleep", "1000000"},
		Envs: []*cri.KeyValue{
			{Key: "KUBERNETES_SERVICE_HOST", Value: []byte("10.96.0.1")}, {Key: "KUBERNETES_SERVICE_PORT", Value: []byte("443")},
			{Key: "KUBERNETES_SERVICE_PORT_HTTPS", Value: []byte("443")}, {Key: "KUBERNETES_PORT", Value: []byte("tcp://10.96.0.1:443")},
			{Key: "KUBERNETES_PORT_443_TCP", Value: []byte("tcp://10.96.0.1:443")}, {Key: "KUBERNETES_PORT_443_TCP_PROTO", Value: []byte("tcp")},
			{Key: "KUBERNETES_PORT_443_TCP_PORT", Value: []byte("443")}, {Key: "KUBERNETES_PORT_443_TCP_ADDR", Value: []byte("10.96.0.1")},
		},
		Mounts: []*cri.Mount{
			volume("", "/var/run/secrets/kubernetes.io/serviceaccount", true),
			volume("etc-hosts", "/etc/hosts", false), volume(fmt.Sprintf("termination-log-%d", i), "/dev/termination-log", false),
		},
		Labels: map[string]string{
			"io.kubernetes.container.name": name, "io.kubernetes.pod.name": meta.GetName(),
			"io.kubernetes.pod.namespace": meta.GetNamespace(), "io.kubernetes.pod.uid": meta.GetUid(),
		},
		Annotations: map[string]string{
			"io.kubernetes.container.hash": "c0ffee", "io.kubernetes.container.restartCount": "0",
			"io.kubernetes.container.terminationMessagePath": "/dev/termination-log", "io.kubernetes.container.terminationMessagePolicy": "File",
			"io.kubernetes.pod.terminationGracePeriod": "30",
		},
		LogPath: name + "/0.log",
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 2, OomScoreAdj: 1000},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: p.config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
				RunAsUser:        &cri.Int64Value{},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
				MaskedPaths:      []string{"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"},
				ReadonlyPaths:    []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			},
		},
	}
}
