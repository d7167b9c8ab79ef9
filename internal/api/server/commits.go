package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/api"
	"carob/internal/archive"
	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/spec"
	"carob/internal/status"
)

// commits are the calls on what containers made of their images.
type commits struct{ s Services }

func (s *commits) entries() []entry {
	return []entry{plain(api.Commit, s.commit), plain(api.Changes, s.changes), on(api.Export, s.export)}
}

func (s *commits) changes(ctx context.Context, p api.Ref) ([]status.Change, error) {
	c, err := s.s.Engine.Container(p.Ref)
	if err != nil {
		return nil, err
	}
	all, err := s.s.Committer.Changes(ctx, c.ID)
	if all == nil {
		all = []status.Change{}
	}
	return all, err
}

func (s *commits) commit(ctx context.Context, p api.CommitParams) (made api.Image, err error) {
	c, err := s.s.Engine.Container(p.Ref)
	if err != nil {
		return api.Image{}, err
	}
	pod, err := s.s.Engine.Pod(c.PodID)
	if err != nil {
		return api.Image{}, err
	}
	parent, err := s.s.Images.Resolve(ctx, c.ImageID)
	if err != nil {
		return api.Image{}, err
	}
	if p.Pause && c.Runs() && !c.Paused {
		if err := s.s.Engine.PauseContainer(ctx, c.ID); err != nil {
			return api.Image{}, err
		}
		defer func() {
			// The container goes on, whoever has lost interest meanwhile.
			e := s.s.Engine.UnpauseContainer(context.WithoutCancel(ctx), c.ID)
			if e != nil && !fault.Is(e, fault.NotFound) {
				err = errors.Join(err, e)
			}
		}()
	}
	request := image.Commit{
		Parent: parent.ID, Name: p.Name, Config: configOf(parent.Config, c.Spec, p.Config),
		Author: p.Author, Comment: p.Comment, CreatedBy: strings.Join(c.Command, " "),
	}
	m, err := s.s.Committer.Commit(ctx, c.ID, request, mapping(pod.UserMapping))
	if err != nil {
		return api.Image{}, err
	}
	return (&images{}).one(m, nil)
}

// configOf is what an image of the container runs by default: what the container was
// made with over what its image says, and changes over both.
func configOf(base v1.ImageConfig, c spec.Container, changes v1.ImageConfig) v1.ImageConfig {
	made := v1.ImageConfig{
		Entrypoint: c.Command, Cmd: c.Args, Env: c.Env, Labels: c.Labels,
		User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
	}
	return over(over(base, made), changes)
}

// over is base with what top says. An entry point without a command drops the command,
// as it does for a container.
func over(base, top v1.ImageConfig) v1.ImageConfig {
	r := base
	if len(top.Entrypoint) > 0 {
		r.Entrypoint, r.Cmd = top.Entrypoint, top.Cmd
	}
	if len(top.Cmd) > 0 {
		r.Cmd = top.Cmd
	}
	for _, word := range []struct{ to, from *string }{{&r.User, &top.User}, {&r.WorkingDir, &top.WorkingDir}, {&r.StopSignal, &top.StopSignal}} {
		if *word.from != "" {
			*word.to = *word.from
		}
	}
	r.Env = slices.Clone(base.Env)
	for _, e := range top.Env {
		key, _, _ := strings.Cut(e, "=")
		i := slices.IndexFunc(r.Env, func(old string) bool { return strings.HasPrefix(old, key+"=") })
		if i < 0 {
			r.Env = append(r.Env, e)
			continue
		}
		r.Env[i] = e
	}
	r.Labels = joined(base.Labels, top.Labels)
	r.ExposedPorts = joined(base.ExposedPorts, top.ExposedPorts)
	r.Volumes = joined(base.Volumes, top.Volumes)
	return r
}

func joined[V any](base, top map[string]V) map[string]V {
	if len(top) == 0 {
		return base
	}
	all := maps.Clone(base)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, top)
	return all
}

func (s *commits) export(ctx context.Context, p api.Ref, t turnOf[api.None]) (api.None, error) {
	ids, err := (&copies{s.s.Engine}).ids(p.Ref)
	if err != nil {
		return api.None{}, err
	}
	if t.Data == nil {
		return api.None{}, fault.Wrap(fault.Invalid, "export", errNoData)
	}
	root, err := s.root(ctx, p.Ref)
	if err != nil {
		return api.None{}, err
	}
	defer func() { _ = root.Close() }() // only read from
	defer closeOn(ctx, t.Data)()
	if err := archive.PackRoot(ctx, t.Data, root, ids); err != nil {
		return api.None{}, fmt.Errorf("export: %w", err)
	}
	return api.None{}, nil
}

// root returns a container's root file system with nothing mounted in it.
func (s *commits) root(ctx context.Context, ref string) (*os.File, error) {
	c, err := s.s.Engine.Container(ref)
	if err != nil {
		return nil, err
	}
	if !c.Runs() {
		return s.s.Engine.RootDir(ctx, c.ID)
	}
	root, err := s.s.Clone(c.Pid, "/")
	if err != nil {
		return nil, fmt.Errorf("container %s: root: %w", ref, err)
	}
	return root, nil
}
