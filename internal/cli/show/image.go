package show

import (
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/api"
)

// ImageDetails is an image in the shape of `docker image inspect`.
type ImageDetails struct {
	ID       string `json:"Id"`
	RepoTags []string
	Created  time.Time
	Size     int64
	Config   v1.ImageConfig
	Layers   []string
	Pinned   bool
}

// DockerImage shows an image in Docker's shape.
func DockerImage(m api.Image) ImageDetails {
	d := ImageDetails{m.ID, m.Names, m.Created, m.Size, m.Config, m.Layers, m.Pinned}
	if d.RepoTags == nil {
		d.RepoTags = []string{}
	}
	return d
}
