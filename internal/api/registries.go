package api

import (
	"context"
	"sync"

	"carob/internal/image"
	"carob/internal/image/registry"
)

// PullParams name an image, and who asks for it.
type PullParams struct {
	Ref string `json:"ref"`
	// Platform is "os/architecture[/variant]"; empty is the host's.
	Platform string       `json:"platform,omitempty"`
	Auth     RegistryAuth `json:"auth,omitzero"`
}

// LoginParams name a registry by its host, and who wants in.
type LoginParams struct {
	Registry string       `json:"registry"`
	Auth     RegistryAuth `json:"auth"`
}

// The registry client's own words, for clients of the daemon, which do not know it.
type (
	// RegistryAuth are credentials for one registry.
	RegistryAuth = registry.Auth
	// PullProgress is the newest about one layer or image.
	PullProgress = registry.Progress
)

// Registries speaks to registries: *registry.Client.
type Registries interface {
	Pull(ctx context.Context, name string, o registry.PullOptions) (image.Image, error)
	Login(ctx context.Context, host string, auth registry.Auth, progress func(registry.Progress)) error
}

type registries struct{ s Services }

func (s *registries) entries() []entry {
	return []entry{
		on(ImagePull, s.pull),
		on(RegistryLogin, func(ctx context.Context, p LoginParams, t turnOf[PullProgress]) (None, error) {
			return None{}, s.s.Registries.Login(ctx, p.Registry, p.Auth, report(t))
		}),
		plain(ManifestImages, s.wanted),
	}
}

// report passes progress on, one frame at a time. A client that cannot be told has
// closed the connection, which cancels the call.
func report(t turnOf[PullProgress]) func(PullProgress) {
	var mu sync.Mutex
	return func(p PullProgress) {
		mu.Lock()
		defer mu.Unlock()
		_ = t.Emit(p)
	}
}

func (s *registries) pull(ctx context.Context, p PullParams, t turnOf[PullProgress]) (Image, error) {
	return (&images{s.s.Images}).one(s.s.Registries.Pull(ctx, p.Ref, registry.PullOptions{
		Platform: p.Platform, Auth: p.Auth, Progress: report(t),
	}))
}

// wanted decides by each container's policy: Always is pulled, Never is not, and without
// one what is not here is.
func (s *registries) wanted(ctx context.Context, p ApplyParams) ([]string, error) {
	policies, err := s.s.Manifests.Images(p.Document)
	if err != nil {
		return nil, err
	}
	var pull []string
	for _, w := range policies {
		_, err := s.s.Images.Resolve(ctx, w.Image)
		if w.Policy == "Always" || w.Policy != "Never" && err != nil {
			pull = append(pull, w.Image)
		}
	}
	return pull, nil
}

// WantedImage is an image that a manifest names, with its imagePullPolicy.
type WantedImage struct {
	Image, Policy string
}
