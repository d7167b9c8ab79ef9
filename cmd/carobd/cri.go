package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	api "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"

	"carob/internal/api/launch"
	"carob/internal/cri"
	"carob/internal/cri/asked"
	"carob/internal/cri/stream"
	"carob/internal/fault"
	"carob/internal/host"
	"carob/internal/image"
	"carob/internal/image/registry"
	"carob/internal/image/registry/trust"
	"carob/internal/sys/apparmor"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
)

// criConfig is what `carob serve` is told about the kubelet's side.
type criConfig struct {
	socket, streams string
}

// kubelet is the CRI's server; one without a socket serves nobody.
type kubelet struct {
	services cri.Services
	socket   net.Listener
	streams  *stream.Server
	ended    chan error
}

func openCRI(c settings, s cri.Services) (*kubelet, error) {
	k := &kubelet{services: s, ended: make(chan error, 1)}
	if c.cri.socket == "none" {
		return k, nil
	}
	var err error
	if k.streams, err = stream.Listen(c.cri.streams, s.Engine); err != nil {
		return nil, fmt.Errorf("--cri-streams: %w", err)
	}
	if k.socket, err = launch.Listen(c.cri.socket); err != nil {
		return nil, fmt.Errorf("--cri-socket: %w", err)
	}
	return k, nil
}

// puller fetches images with the credentials of the request.
func puller(c pulls) cri.Puller {
	return func(ctx context.Context, ref string, a *api.AuthConfig) (image.Image, error) {
		img, err := c.Pull(ctx, ref, registry.PullOptions{Auth: registry.Auth{
			Username: a.GetUsername(), Password: a.GetPassword(), Auth: a.GetAuth(), ServerAddress: a.GetServerAddress(),
			IdentityToken: a.GetIdentityToken(), RegistryToken: a.GetRegistryToken(),
		}})
		if errors.Is(err, trust.ErrSignature) {
			err = fmt.Errorf("%w: %w", crierrors.ErrSignatureValidationFailed, err)
		}
		return img, err
	}
}

// serve serves until ctx ends. When it cannot go on, it ends the daemon.
func (k *kubelet) serve(ctx context.Context, end context.CancelFunc) {
	if k.socket == nil {
		k.ended <- nil
		return
	}
	streams := make(chan error, 1)
	go func() {
		streams <- k.streams.Serve(ctx)
		end()
	}()
	err := cri.Serve(ctx, k.socket, k.services, k.streams)
	end()
	k.ended <- errors.Join(err, <-streams)
}

// criHost is what translating the kubelet's requests needs of the machine.
func criHost(facts host.Facts, layout *cgroup.Layout) asked.Host {
	name, _ := os.Hostname() // uname(2) does not fail
	return asked.Host{Facts: facts, Hostname: name, Hugetlb: layout.Version("hugetlb") != 0, ReadProfile: readProfile, CheckAppArmor: apparmor.Check}
}

// maxProfile is far more than any seccomp profile has, in bytes.
const maxProfile = 1 << 20

func readProfile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|fd.NoBlock, 0) // a pipe would wait for its writer
	if err != nil {
		return "", fault.Wrap(fault.NotFound, "seccomp profile", err)
	}
	defer func() { _ = f.Close() }() // only read from
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", fault.Wrap(fault.Invalid, "seccomp profile "+path, cmp.Or(err, errors.New("not a regular file")))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err == nil && len(text) > maxProfile {
		err = fault.New(fault.Invalid, "seccomp profile "+path+": too long")
	}
	return string(text), err
}
