package shown

import (
	"slices"
	"strconv"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/image"
	"carob/internal/ref"
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
