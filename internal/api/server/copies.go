package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"carob/internal/api"
	"carob/internal/archive"
	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/fd"
)

type copies struct{ e Engine }

func (s *copies) entries() []entry {
	return []entry{plain(api.Stat, s.stat), on(api.CopyOut, s.out), on(api.CopyIn, s.in)}
}

// closeOn closes f when ctx ends, so that a read or write in it returns; the
// returned function ends the watch.
func closeOn(ctx context.Context, f *os.File) func() {
	stop := context.AfterFunc(ctx, func() { closeFiles(f) })
	return func() { stop() }
}

// inside opens a path of a container's root: see fd.InRoot.
func (s *copies) inside(ctx context.Context, p api.PathParams, follow bool) (*os.File, error) {
	root, err := s.e.RootDir(ctx, p.Ref)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // a descriptor on the way
	f, err := fd.InRoot(root, path.Join("/", p.Path)+slash(p.Path), follow)
	if err != nil {
		return nil, errInside(err)
	}
	return f, nil
}

// slash keeps what demands a directory: path.Join drops it.
func slash(p string) string {
	if strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") {
		return "/"
	}
	return ""
}

func errInside(err error) error { return fault.Wrap(fault.KindOf(err), "cp: in the container", err) }

func (s *copies) stat(ctx context.Context, p api.PathParams) (archive.Info, error) {
	info := archive.Info{Path: p.Path}
	f, err := s.inside(ctx, p, p.Follow)
	if fault.Is(err, fault.NotFound) && (errors.Is(err, fs.ErrNotExist)) {
		return info, nil
	}
	if err != nil {
		return info, err
	}
	defer func() { _ = f.Close() }() // O_PATH
	st, err := f.Stat()
	if err != nil {
		return info, fault.Wrap(fault.Internal, "cp: "+p.Path, err)
	}
	info.Exists, info.Dir = true, st.IsDir()
	return info, nil
}

// ids is the mapping between what the host sees and what the container sees.
func (s *copies) ids(ref string) (archive.IDs, error) {
	c, err := s.e.Container(ref)
	if err != nil {
		return archive.IDs{}, err
	}
	p, err := s.e.Pod(c.PodID)
	if err != nil {
		return archive.IDs{}, err
	}
	return mapping(p.UserMapping), nil
}

func mapping(m status.IDMapping) archive.IDs { return archive.IDs{Base: m.HostID, Size: m.Size} }

func (s *copies) out(ctx context.Context, p api.PathParams, t turnOf[api.None]) (api.None, error) {
	ids, err := s.ids(p.Ref)
	if err != nil {
		return api.None{}, err
	}
	if t.Data == nil {
		return api.None{}, fault.Wrap(fault.Invalid, "cp", errNoData)
	}
	f, err := s.inside(ctx, p, p.Follow)
	if err != nil {
		return api.None{}, err
	}
	defer func() { _ = f.Close() }() // O_PATH
	defer closeOn(ctx, t.Data)()
	return api.None{}, archive.Pack(ctx, t.Data, f, p.As, ids)
}

func (s *copies) in(ctx context.Context, p api.PathParams, t turnOf[api.None]) (archive.Skipped, error) {
	ids, err := s.ids(p.Ref)
	if err != nil {
		return nil, err
	}
	if t.Data == nil {
		return nil, fault.Wrap(fault.Invalid, "cp", errNoData)
	}
	dir, err := s.inside(ctx, p, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }() // O_PATH
	defer closeOn(ctx, t.Data)()
	return archive.Unpack(ctx, t.Data, dir, archive.Options{IDs: ids, KeepOwner: p.KeepOwner})
}
