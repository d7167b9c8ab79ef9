package main

import (
	"bytes"
	"context"
	"io"
	"slices"

	"carob/internal/api"
	"carob/internal/api/server"
	"carob/internal/kube"
	"carob/internal/kube/manifest"
	"carob/internal/logfile"
	"carob/internal/pod"
	"carob/internal/status"
	"carob/internal/sys/mount"
)

// The types of this file fit rooms that do not know each other.

// kubeEngine is the engine without what manifests have no use for.
type kubeEngine struct{ *pod.Engine }

func (e kubeEngine) StartContainer(ctx context.Context, ref string) error {
	return e.Engine.StartContainer(ctx, ref, pod.Streams{})
}

func (e kubeEngine) RemoveContainer(ctx context.Context, ref string) error {
	return e.Engine.RemoveContainer(ctx, ref, pod.RemoveOptions{})
}

func (e kubeEngine) WaitContainer(ctx context.Context, ref string) (status.Exit, error) {
	return e.Engine.WaitContainer(ctx, ref, status.WaitExit)
}

type hostMounts struct{}

func (hostMounts) Tmpfs(dir string, size int64) error { return mount.Tmpfs(dir, size) }
func (hostMounts) Unmount(dir string) error           { return mount.Unmount(dir) }

type logTail struct{}

func (logTail) Tail(ctx context.Context, path string, n int, w io.Writer) error {
	return logfile.Read(ctx, path, logfile.Options{Tail: n}, w, w)
}

// manifests is the applier behind the API.
type manifests struct{ *kube.Applier }

func (m manifests) Apply(ctx context.Context, p api.ApplyParams, progress func(api.Progress)) ([]api.Applied, error) {
	pods, err := manifest.Parse(bytes.NewReader(p.Document))
	if err != nil {
		return nil, err
	}
	results, err := m.Applier.Apply(ctx, pods, kube.Options{Replace: p.Replace, Keep: p.Keep, Progress: steps(progress)})
	return applied(results), err
}

func (m manifests) Delete(ctx context.Context, p api.DeleteParams, progress func(api.Progress)) ([]api.Applied, error) {
	refs := p.Refs
	if len(p.Document) > 0 {
		pods, err := manifest.Parse(bytes.NewReader(p.Document))
		if err != nil {
			return nil, err
		}
		for _, one := range pods {
			refs = append(refs, one.Ref())
		}
	}
	results, err := m.Applier.Delete(ctx, refs, p.Grace, steps(progress))
	return applied(results), err
}

// Images are those of the pods that have to be made.
func (m manifests) Images(document []byte) ([]server.WantedImage, error) {
	pods, err := manifest.Parse(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	pods = slices.DeleteFunc(pods, m.Stands)
	var all []server.WantedImage
	want := func(w server.WantedImage) {
		if !slices.Contains(all, w) {
			all = append(all, w)
		}
	}
	for _, one := range pods {
		for _, c := range slices.Concat(one.Pod.Spec.InitContainers, one.Pod.Spec.Containers) {
			want(server.WantedImage{Image: c.Image, Policy: string(c.ImagePullPolicy)})
		}
		for _, v := range one.Pod.Spec.Volumes {
			if v.Image != nil {
				want(server.WantedImage{Image: v.Image.Reference, Policy: string(v.Image.PullPolicy)})
			}
		}
	}
	return all, nil
}

func steps(progress func(api.Progress)) func(kube.Progress) {
	return func(p kube.Progress) { progress(api.Progress(p)) }
}

func applied(results []kube.Result) []api.Applied {
	out := make([]api.Applied, 0, len(results))
	for _, r := range results {
		out = append(out, api.Applied{Pod: r.Pod, ID: r.ID, Action: string(r.Action), Warnings: r.Warnings, Containers: r.Containers})
	}
	return out
}
