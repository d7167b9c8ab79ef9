package cri

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/fault"
	"carob/internal/image"
)

// images is the ImageService. An image is shown once, with all its names; its ID is the
// digest of its configuration.
type images struct {
	cri.UnimplementedImageServiceServer
	s Services
}

func (i *images) list(ctx context.Context, f *cri.ImageFilter) ([]*cri.Image, error) {
	found := i.s.Images.List()
	if name := f.GetImage().GetImage(); name != "" {
		one, err := i.s.Images.Resolve(ctx, name)
		if err != nil {
			return nil, absentIsDone(err)
		}
		found = []image.Image{one}
	}
	out := make([]*cri.Image, 0, len(found))
	for _, one := range found {
		out = append(out, shown.Image(one))
	}
	return out, nil
}

// ListImages lists images, newest first.
func (i *images) ListImages(ctx context.Context, r *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	all, err := i.list(ctx, r.GetFilter())
	return &cri.ListImagesResponse{Images: all}, err
}

// StreamImages is ListImages in pieces.
func (i *images) StreamImages(r *cri.StreamImagesRequest, to grpc.ServerStreamingServer[cri.StreamImagesResponse]) error {
	all, err := i.list(to.Context(), r.GetFilter())
	if err != nil {
		return err
	}
	return inPieces(all, func(some []*cri.Image) error { return to.Send(&cri.StreamImagesResponse{Images: some}) })
}

// ImageStatus tells of one image; one that is not here is no error.
func (i *images) ImageStatus(ctx context.Context, r *cri.ImageStatusRequest) (*cri.ImageStatusResponse, error) {
	one, err := i.s.Images.Resolve(ctx, r.GetImage().GetImage())
	if err != nil {
		return &cri.ImageStatusResponse{}, absentIsDone(err)
	}
	out := &cri.ImageStatusResponse{Image: shown.Image(one)}
	if r.GetVerbose() {
		text, err := json.Marshal(map[string]any{"config": one.Config, "created": one.Created, "layers": len(one.Layers)})
		out.Info = map[string]string{"info": string(text)}
		return out, err
	}
	return out, nil
}

// PullImage fetches an image and returns its ID. One of carob's own domain comes from no
// registry: a kubelet that always pulls gets what is here.
func (i *images) PullImage(ctx context.Context, r *cri.PullImageRequest) (*cri.PullImageResponse, error) {
	name := r.GetImage().GetImage()
	if name == "" {
		return nil, fault.New(fault.Invalid, "image: no reference")
	}
	if strings.HasPrefix(name, image.OwnDomain) {
		one, err := i.s.Images.Resolve(ctx, name)
		return &cri.PullImageResponse{ImageRef: one.ID}, err
	}
	one, err := i.s.Pull(ctx, name, r.GetAuth())
	if err != nil {
		return nil, pullFailure(ctx, err)
	}
	return &cri.PullImageResponse{ImageRef: one.ID}, nil
}

// RemoveImage removes an image with all its names, whichever it was called by.
func (i *images) RemoveImage(ctx context.Context, r *cri.RemoveImageRequest) (*cri.RemoveImageResponse, error) {
	one, err := i.s.Images.Resolve(ctx, r.GetImage().GetImage())
	if err == nil {
		_, err = i.s.Images.Remove(ctx, one.ID)
	}
	return &cri.RemoveImageResponse{}, absentIsDone(err)
}

// ImageFsInfo tells where images and containers' files are, and what images take: layers
// that several images have are counted for each.
func (i *images) ImageFsInfo(context.Context, *cri.ImageFsInfoRequest) (*cri.ImageFsInfoResponse, error) {
	var used uint64
	for _, one := range i.s.Images.List() {
		used += uint64(one.Size)
	}
	at := &cri.FilesystemUsage{
		Timestamp: time.Now().UnixNano(), FsId: &cri.FilesystemIdentifier{Mountpoint: i.s.Root}, UsedBytes: &cri.UInt64Value{Value: used},
	}
	return &cri.ImageFsInfoResponse{ImageFilesystems: []*cri.FilesystemUsage{at}, ContainerFilesystems: []*cri.FilesystemUsage{at}}, nil
}
