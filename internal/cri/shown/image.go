package shown

import (
	"slices"
	"strconv"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/image"
	"carob/internal/ref"
	"carob/internal/status"
)

// Image is an image in a list.
func Image(i image.Image) *cri.Image {
	out := &cri.Image{Id: i.ID, RepoDigests: i.Digests, Size: uint64(i.Size), Spec: &cri.ImageSpec{Image: i.ID}, Pinned: i.Pinned}
	for _, n := range i.Names {
		if r, err := ref.Parse(n); err == nil {
			n = r.String()
		}
		out.RepoTags = append(out.RepoTags, n)
	}
	slices.Sort(out.RepoTags)
	user, _, _ := strings.Cut(i.Config.User, ":")
	if uid, err := strconv.ParseInt(user, 10, 64); err == nil {
		out.Uid = &cri.Int64Value{Value: uid}
	} else {
		out.Username = user
	}
	return out
}

// ImageRef is what a container's image is to whoever would pull it: of the image's digests
// that of the repository by which it was asked for, or its ID. Kubernetes shows it as the
// imageID of a pod's status.
func ImageRef(c status.Container, digests []string) string {
	r, err := ref.Parse(c.Image)
	if err != nil {
		return c.ImageID
	}
	for _, d := range digests {
		if strings.HasPrefix(d, r.Name()+"@") {
			return d
		}
	}
	return c.ImageID
}
