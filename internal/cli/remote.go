package cli

import (
	"context"

	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/cli/ask"
	"carob/internal/cli/remote"
	"carob/internal/fault"
)

func remoteEnv(a *app) remote.Env {
	kind, _ := a.LookupEnv("TERM")
	return remote.Env{
		Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr, LookupEnv: a.LookupEnv, Daemon: a.daemon,
		Images: words{a}.images,
		Size: func() (width, height int, ok bool) {
			width, height, err := term.GetSize(int(a.Stderr.Fd()))
			return width, height, err == nil && kind != "dumb"
		},
	}
}

// withImage does what needs an image, and gets the image before when the policy says so or
// it is only missing.
func withImage(ctx context.Context, a *app, image, policy string, do func() error) error {
	get := func() error {
		_, err := remoteEnv(a).Pull(ctx, image, remote.Options{})
		return err
	}
	if policy == ask.PullAlways {
		if err := get(); err != nil {
			return err
		}
	}
	err := do()
	if policy != ask.PullMissing || !fault.Is(err, fault.NotFound) {
		return err
	}
	// Something is missing, and asking costs only now.
	if _, e := call(ctx, a, api.InspectImage, api.Ref{Ref: image}); !fault.Is(e, fault.NotFound) {
		return err
	}
	if err := get(); err != nil {
		return err
	}
	return do()
}

// pullFor gets the images that a manifest wants from registries.
func pullFor(ctx context.Context, a *app, document []byte) error {
	wanted, err := call(ctx, a, api.ManifestImages, api.ApplyParams{Document: document})
	if err != nil {
		return err
	}
	for _, image := range wanted {
		if _, err := remoteEnv(a).Pull(ctx, image, remote.Options{}); err != nil {
			return err
		}
	}
	return nil
}
