package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/cli/show"
	"carob/internal/fault"
	"carob/internal/status"
)

func bindInspect(c *cobra.Command, st *show.Style) {
	c.Flags().StringVarP(&st.Output, "output", "o", "", "output `FORMAT`: json or yaml")
	c.Flags().StringVarP(&st.Format, "format", "f", "", "Go `TEMPLATE`, like '{{.State.Pid}}'")
	_ = c.RegisterFlagCompletionFunc("output", fixed("json", "yaml")) // it was made above
}

func inspectCommand(a *app) *cobra.Command {
	var st show.Style
	var kind string
	c := &cobra.Command{
		Use: "inspect [FLAGS] NAME…", Short: "Show all that is known of containers, pods or images",
		Long: `Shows containers in Docker's shape, and beyond it what was asked (Asked), what the
kernel shows (Observed), and where the two differ (Differences). Pods and images are
shown as carob knows them.`,
		Example: `  carob inspect web
  carob inspect --format '{{.State.Pid}} {{.HostConfig.Memory}}' web
  carob inspect --format '{{json .Differences}}' web`,
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.containers,
		RunE: func(cmd *cobra.Command, refs []string) error {
			kinds := []inspector{{"container", inspection{a}.container}, {"pod", inspection{a}.pod}, {"image", inspection{a}.image}}
			if kind != "" {
				i := slices.IndexFunc(kinds, func(k inspector) bool { return k.kind == kind })
				if i < 0 {
					return fault.New(fault.Invalid, "--type \""+kind+"\": use container, pod or image")
				}
				kinds = kinds[i : i+1]
			}
			return a.inspect(cmd.Context(), refs, st, func(ctx context.Context, ref string) (any, error) {
				return firstFound(ctx, ref, kinds)
			})
		},
	}
	bindInspect(c, &st)
	c.Flags().StringVar(&kind, "type", "", "only this `KIND`: container, pod, image")
	return c
}

type inspector struct {
	kind string
	look func(context.Context, string) (any, error)
}

// firstFound tries kind after kind; only when none has it is it not found.
func firstFound(ctx context.Context, ref string, kinds []inspector) (any, error) {
	for _, k := range kinds {
		v, err := k.look(ctx, ref)
		if err == nil || !fault.Is(err, fault.NotFound) && (len(kinds) == 1 || !fault.Is(err, fault.Invalid)) {
			return v, err
		}
		if len(kinds) == 1 {
			return nil, err
		}
	}
	return nil, fault.New(fault.NotFound, ref+": no such container, pod or image")
}

// inspect shows what is found and then says what is not.
func (a *app) inspect(ctx context.Context, refs []string, st show.Style, look func(context.Context, string) (any, error)) error {
	items, errs := []any{}, []error{}
	for _, ref := range refs {
		v, err := look(ctx, ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		items = append(items, v)
	}
	if len(items) > 0 || st.Format == "" {
		errs = append([]error{show.Inspect(a.Stdout, st, items)}, errs...)
	}
	return errors.Join(errs...)
}

// inspection looks at things of one kind.
type inspection struct{ *app }

func (i inspection) container(ctx context.Context, ref string) (any, error) {
	in, err := call(ctx, i.app, api.InspectContainer, api.Ref{Ref: ref})
	if err != nil {
		return nil, err
	}
	around, err := call(ctx, i.app, api.Pods, status.Filter{PodRef: in.PodID})
	if err != nil {
		return nil, err
	}
	if len(around) == 0 {
		return nil, fault.New(fault.NotFound, fmt.Sprintf("container %s: was removed", ref))
	}
	return show.Docker(in, around[0]), nil
}

func (i inspection) pod(ctx context.Context, ref string) (any, error) {
	return call(ctx, i.app, api.InspectPod, api.Ref{Ref: ref})
}

func (i inspection) image(ctx context.Context, ref string) (any, error) {
	m, err := call(ctx, i.app, api.InspectImage, api.Ref{Ref: ref})
	if err != nil {
		return nil, err
	}
	return show.DockerImage(m)
}
