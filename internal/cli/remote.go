package cli

import (
	"context"

	"carob/internal/api"
	"carob/internal/cli/ask"
	"carob/internal/fault"
)

// withImage does what needs an image, and gets the image before when the policy says so or
// it is only missing.
func withImage(ctx context.Context, a *app, image, policy string, do func() error) error {
	if policy == ask.PullAlways {
		if err := (words{a}).env().Pull(ctx, image); err != nil {
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
	if err := (words{a}).env().Pull(ctx, image); err != nil {
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
		if err := (words{a}).env().Pull(ctx, image); err != nil {
			return err
		}
	}
	return nil
}
