package cri

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/systest"
)

// BenchmarkList is what a kubelet waits for a list of 300 pods, over the socket, its own
// decoding included: the machine is a fake, the rest is not.
func BenchmarkList(b *testing.B) {
	m := systest.New(b.TempDir())
	d := m.Deps()
	d.Log = slog.New(slog.DiscardHandler)
	e := pod.New(d)
	b.Cleanup(func() { _ = e.Close() })
	if err := e.Recover(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := range 300 {
		if err := kubeletsPod(b.Context(), e, i); err != nil {
			b.Fatal(err)
		}
	}
	path := filepath.Join(b.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, l, Services{Engine: e, Groups: broken{path: new(string)}, Root: b.TempDir(), Log: d.Log}, nil)
	}()
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		end()
		<-served
	})
	k := cri.NewRuntimeServiceClient(conn)
	for _, call := range []struct {
		name string
		ask  func() (int, error)
	}{
		{"Sandboxes", func() (int, error) {
			r, err := k.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
			return len(r.GetItems()), err
		}},
		{"Containers", func() (int, error) {
			r, err := k.ListContainers(ctx, &cri.ListContainersRequest{})
			return len(r.GetContainers()), err
		}},
		{"SandboxMetrics", func() (int, error) {
			r, err := k.ListPodSandboxMetrics(ctx, &cri.ListPodSandboxMetricsRequest{})
			return len(r.GetPodMetrics()), err
		}},
	} {
		b.Run(call.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n, err := call.ask(); n != 300 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

// kubeletsPod makes a pod with a container, with what a kubelet tells of them.
func kubeletsPod(ctx context.Context, e *pod.Engine, i int) error {
	name, uid := fmt.Sprintf("web-7d9c5b8f6d-%05d", i), fmt.Sprintf("0f5e7a1c-3b7d-4c1e-9a55-%012d", i)
	labels := map[string]string{
		"app": "web", "pod-template-hash": "7d9c5b8f6d", "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": uid,
	}
	p, err := e.RunPod(ctx, spec.Pod{
		Name: name, Namespace: "shop", UID: uid, Owner: spec.OwnerCRI, Namespaces: spec.Namespaces{Net: spec.Host}, Labels: labels,
		Annotations: map[string]string{"kubernetes.io/config.seen": "2026-11-30T10:00:00.000000000Z", "kubernetes.io/config.source": "api"},
	})
	if err != nil {
		return err
	}
	c, err := e.CreateContainer(ctx, p.ID, spec.Container{
		Name: "app", Image: "toolbox", Command: []string{"sleep", "9"},
		Labels: map[string]string{"io.kubernetes.container.name": "app", "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": uid},
		Annotations: map[string]string{
			"io.kubernetes.container.hash": "6f3a1b2c", "io.kubernetes.container.restartCount": "0",
			"io.kubernetes.container.terminationMessagePath":   "/dev/termination-log",
			"io.kubernetes.container.terminationMessagePolicy": "File", "io.kubernetes.pod.terminationGracePeriod": "30",
		},
	})
	if err != nil {
		return err
	}
	return e.StartContainer(ctx, c.ID, pod.Streams{})
}
