package registry

import "carob/internal/image/registry/call"

// The words of package call.
type (
	// Auth are credentials for one registry; the zero value is none.
	Auth = call.Auth
	// PullOptions say how an image is pulled.
	PullOptions = call.PullOptions
	// PushOptions say how an image is pushed.
	PushOptions = call.PushOptions
	// Progress is the newest about one layer, or about the image.
	Progress = call.Progress
)
