package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/cli/entry"
	"carob/internal/cli/show"
	"carob/internal/fault"
	"carob/internal/status"
)

func podCommands(a *app) []*cobra.Command {
	group := &cobra.Command{
		Use: "pod COMMAND", Short: "Work with pods",
		Example: "  carob pod create --name p\n  carob run -d --pod p toolbox sleep 100\n  carob pod rm -f p",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	group.AddCommand(podCreateCommand(a), podStopCommand(a), podRemoveCommand(a), podInspectCommand(a), podsCommand(a, "ls"))
	return []*cobra.Command{applyCommand(a), deleteCommand(a), podsCommand(a, "pods"), group}
}

// documents reads the manifests of -f, each a file or, for "-", standard input, as one.
func documents(a *app, names []string) ([]byte, error) {
	var all []byte
	for _, name := range names {
		b, err := a.document(name)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			all = append(all, "\n---\n"...)
		}
		all = append(all, b...)
	}
	return all[:min(len(all), mostDocument)], nil
}

// mostDocument is a byte more than the daemon takes, which refuses it with its own words.
const mostDocument = 2<<20 + 1

func (a *app) document(name string) ([]byte, error) {
	f := a.Stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, fault.Wrap(fault.NotFound, "-f", err)
		}
		defer func() { _ = f.Close() }() // only read from
	}
	b, err := io.ReadAll(io.LimitReader(f, mostDocument))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "-f "+name, err)
	}
	return b, nil
}

// applied shows what became of pods, one line each, warnings on standard error.
func (a *app) applied(list []api.Applied) {
	for _, r := range list {
		for _, w := range r.Warnings {
			fmt.Fprintf(a.Stderr, "carob: warning: pod %s: %s\n", r.Pod, w)
		}
		fmt.Fprintf(a.Stdout, "pod/%s %s\n", r.Pod, r.Action)
	}
}

func (a *app) progress(verbose bool) func(api.Progress) {
	if !verbose {
		return nil
	}
	return func(p api.Progress) {
		name := p.Pod
		if p.Container != "" {
			name += "/" + p.Container
		}
		fmt.Fprintf(a.Stderr, "%s: %s\n", name, p.Step)
	}
}

func applyCommand(a *app) *cobra.Command {
	var files []string
	var output string
	var verbose bool
	var p api.ApplyParams
	c := &cobra.Command{
		Use: "apply -f FILE", Short: "Make the pods of a Kubernetes manifest",
		Example: "  carob apply -f pod.yaml\n  cat pod.yaml | carob apply -f -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return entry.Usage(cmd, errors.New("name a manifest with -f"))
			}
			var err error
			if p.Document, err = documents(a, files); err != nil {
				return err
			}
			if err := pullFor(cmd.Context(), a, p.Document); err != nil {
				return err
			}
			list, err := do(cmd.Context(), a, api.Apply, client.Exchange[api.ApplyParams, api.Progress]{Params: p, OnEvent: a.progress(verbose)})
			if err != nil {
				return err
			}
			if output != "" {
				return show.Document(a.Stdout, output, list)
			}
			a.applied(list)
			return nil
		},
	}
	c.Flags().VarP((*ask.List)(&files), "filename", "f", "manifest `FILE`, or - for standard input; repeatable")
	c.Flags().StringVarP(&output, "output", "o", "", "output `FORMAT`: json or yaml")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show each step")
	c.Flags().BoolVar(&p.Replace, "replace", false, "delete and make anew a pod whose manifest has changed")
	c.Flags().BoolVar(&p.Keep, "keep", false, "leave what was made when a later step fails")
	return c
}

func deleteCommand(a *app) *cobra.Command {
	var files []string
	var grace int
	var verbose bool
	c := &cobra.Command{
		Use: "delete -f FILE | POD…", Short: "Stop and remove pods",
		Example:           "  carob delete -f pod.yaml\n  carob delete pod foo",
		ValidArgsFunction: words{a}.pods,
		RunE: func(cmd *cobra.Command, refs []string) error {
			if len(refs) > 1 && (refs[0] == "pod" || refs[0] == "pods") {
				refs = refs[1:] // kubectl's habits
			}
			for i, ref := range refs {
				refs[i] = strings.TrimPrefix(strings.TrimPrefix(ref, "pods/"), "pod/")
			}
			p := api.DeleteParams{Refs: refs, Grace: seconds(cmd, grace)}
			if len(files) == 0 && len(refs) == 0 {
				return entry.Usage(cmd, errors.New("name a manifest with -f, or pods"))
			}
			var err error
			if p.Document, err = documents(a, files); err != nil {
				return err
			}
			list, err := do(cmd.Context(), a, api.Delete, client.Exchange[api.DeleteParams, api.Progress]{Params: p, OnEvent: a.progress(verbose)})
			errs := []error{err}
			list = slices.DeleteFunc(list, func(r api.Applied) bool {
				missing := r.Action == "absent" && len(files) == 0
				if missing {
					errs = append(errs, fault.New(fault.NotFound, "pod "+r.Pod+": no such pod"))
				}
				return missing
			})
			a.applied(list)
			return errors.Join(errs...)
		},
	}
	c.Flags().VarP((*ask.List)(&files), "filename", "f", "manifest `FILE`, or - for standard input; repeatable")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show each step")
	bindSeconds(c, &grace)
	return c
}

func podsCommand(a *app, name string) *cobra.Command {
	var s style
	var all bool
	var labels []string
	c := &cobra.Command{
		Use: name, Short: "List pods",
		Example: "  carob pods\n  carob pods -o wide --all      # those that `run` makes around single containers too",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			want, err := ask.Labels(labels)
			if err != nil {
				return err
			}
			f := status.Filter{Labels: want}
			if !all {
				f.Solo = &all
			}
			list, err := call(cmd.Context(), a, api.Pods, f)
			if err != nil {
				return err
			}
			return write(a.Stdout, &s, show.Pods, list)
		},
	}
	s.bind(c, "print IDs only")
	c.Flags().BoolVarP(&all, "all", "a", false, "also the pods around single containers")
	c.Flags().VarP((*ask.List)(&labels), "selector", "l", "label `KEY=VALUE`")
	return c
}

func podCreateCommand(a *app) *cobra.Command {
	var r ask.Pod
	c := &cobra.Command{
		Use: "create [FLAGS] [NAME]", Short: "Make an empty pod",
		Example: "  carob pod create --share-pid shared",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, words []string) error {
			p, err := r.Translate(words, a.host())
			if err != nil {
				return err
			}
			made, err := call(cmd.Context(), a, api.PodCreate, p)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.Stdout, made.ID)
			return nil
		},
	}
	r.Bind(c.Flags())
	return c
}

func podStopCommand(a *app) *cobra.Command {
	var n int
	c := &cobra.Command{
		Use: "stop [FLAGS] POD…", Short: "Stop pods with all their containers",
		Example: "  carob pod stop foo",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.pods,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.each(refs, func(ref string) error {
				_, err := call(cmd.Context(), a, api.PodStop, api.StopParams{Ref: ref, Timeout: seconds(cmd, n)})
				return err
			})
		},
	}
	bindSeconds(c, &n)
	return c
}

func podRemoveCommand(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm [FLAGS] POD…", Short: "Remove stopped pods with their containers",
		Example: "  carob pod rm -f foo",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.pods,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.each(refs, func(ref string) error {
				_, err := call(cmd.Context(), a, api.PodRemove, api.RemoveParams{Ref: ref, Force: force})
				return forgive(force, err)
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "stop what runs")
	return c
}

func podInspectCommand(a *app) *cobra.Command {
	var st show.Style
	c := &cobra.Command{
		Use: "inspect [FLAGS] POD…", Short: "Show all that is known of pods",
		Example: "  carob pod inspect foo --format '{{json .namespaces}}'",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: words{a}.pods,
		RunE: func(cmd *cobra.Command, refs []string) error {
			return a.inspect(cmd.Context(), refs, st, inspection{a}.pod)
		},
	}
	bindInspect(c, &st)
	return c
}
