package api

import "carob/internal/image/registry/call"

// The methods on registries. Their events say how far they are.
const (
	// ImagePull gets an image; the credentials are used for this call and forgotten.
	ImagePull Method[PullParams, PullProgress, Image] = "image-pull"
	// ImagePush sends an image to the registry of its name and returns the digest it has
	// there.
	ImagePush Method[PullParams, PullProgress, Pushed] = "image-push"
	// RegistryLogin asks a registry whether it takes credentials.
	RegistryLogin Method[LoginParams, PullProgress, None] = "registry-login"
	// ManifestImages tells which images of a manifest have to be pulled before it can be
	// applied; only Document is used.
	ManifestImages Method[ApplyParams, None, []string] = "manifest-images"
)

// PullParams name an image, and who asks for it.
type PullParams struct {
	Ref string `json:"ref"`
	// Platform is "os/architecture[/variant]"; empty is the host's.
	Platform string       `json:"platform,omitempty"`
	Auth     RegistryAuth `json:"auth,omitzero"`
}

// Pushed is what became of a push.
type Pushed struct {
	Digest string `json:"digest"`
}

// LoginParams name a registry by its host, and who wants in.
type LoginParams struct {
	Registry string       `json:"registry"`
	Auth     RegistryAuth `json:"auth"`
}

// The registry client's own words, for clients of the daemon, which do not know it.
type (
	// RegistryAuth are credentials for one call.
	RegistryAuth = call.Auth
	// PullProgress is the newest about one layer or image.
	PullProgress = call.Progress
)
