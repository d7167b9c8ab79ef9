package server

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/registry/call"
)

// Registries speaks to registries: *registry.Client.
type Registries interface {
	Pull(ctx context.Context, name string, o call.PullOptions) (image.Image, error)
	Push(ctx context.Context, name string, o call.PushOptions) (digest.Digest, error)
	Login(ctx context.Context, host string, auth call.Auth, progress func(call.Progress)) error
}

type registries struct{ s Services }

func (s *registries) entries() []entry {
	return []entry{
		on(api.ImagePull, s.pull),
		on(api.ImagePush, s.push),
		on(api.RegistryLogin, func(ctx context.Context, p api.LoginParams, t turnOf[api.PullProgress]) (api.None, error) {
			return api.None{}, s.s.Registries.Login(ctx, p.Registry, p.Auth, report(t))
		}),
		plain(api.ManifestImages, s.wanted),
	}
}

// report passes progress on, one frame at a time. A client that cannot be told has
// closed the connection, which cancels the call.
func report(t turnOf[api.PullProgress]) func(api.PullProgress) {
	var mu sync.Mutex
	return func(p api.PullProgress) {
		mu.Lock()
		defer mu.Unlock()
		_ = t.Emit(p)
	}
}

func (s *registries) pull(ctx context.Context, p api.PullParams, t turnOf[api.PullProgress]) (api.Image, error) {
	return (&images{store: s.s.Images}).one(s.s.Registries.Pull(ctx, p.Ref, call.PullOptions{
		Platform: p.Platform, Auth: p.Auth, Progress: report(t),
	}))
}

func (s *registries) push(ctx context.Context, p api.PullParams, t turnOf[api.PullProgress]) (api.Pushed, error) {
	if p.Platform != "" {
		return api.Pushed{}, fault.New(fault.Unsupported, "push "+p.Ref+": --platform: what is here is for one platform")
	}
	d, err := s.s.Registries.Push(ctx, p.Ref, call.PushOptions{Auth: p.Auth, Progress: report(t)})
	return api.Pushed{Digest: d.String()}, err
}

// wanted decides by each container's policy: Always is pulled, Never is not, and else
// what is not here is. Without a policy what Kubernetes would pull again is, too.
func (s *registries) wanted(ctx context.Context, p api.ApplyParams) ([]string, error) {
	policies, err := s.s.Manifests.Images(p.Document)
	if err != nil {
		return nil, err
	}
	var pull []string
	for _, w := range policies {
		img, err := s.s.Images.Resolve(ctx, w.Image)
		if w.Policy == "Always" || w.Policy != "Never" && err != nil || w.Policy == "" && img.Renewed(w.Image) {
			pull = append(pull, w.Image)
		}
	}
	return pull, nil
}

// WantedImage is an image that a manifest names, with its imagePullPolicy.
type WantedImage struct {
	Image, Policy string
}
