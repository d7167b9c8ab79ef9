package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
	"carob/internal/fault"
	"carob/internal/status"
)

func absolute(p string) (string, error) { return filepath.Abs(p) }

func runCommand(a *app) *cobra.Command {
	var r ask.Run
	c := &cobra.Command{
		Use:   "run [FLAGS] IMAGE [COMMAND] [ARG…]",
		Short: "Create and start a container",
		Example: `  carob run --rm toolbox echo hello
  carob run --rm -it toolbox sh
  carob run -d --name web --memory 512MB --cpus 0.5 toolbox httpd
  carob run -d --network container:web --ipc container:web --uts container:web toolbox sleep 1000`,
		RunE: func(cmd *cobra.Command, words []string) error { return refusal(a.run(cmd.Context(), &r, words), 125) },
	}
	r.Bind(c.Flags())
	r.BindForeground(c.Flags())
	completeRun(a, c)
	return c
}

func createCommand(a *app) *cobra.Command {
	var r ask.Run
	c := &cobra.Command{
		Use:     "create [FLAGS] IMAGE [COMMAND] [ARG…]",
		Short:   "Create a container without starting it",
		Example: "  carob create --name once toolbox date\n  carob start -a once",
		RunE: func(cmd *cobra.Command, words []string) error {
			q, err := a.request(&r, words)
			if err != nil {
				return refusal(err, 125)
			}
			return refusal(withImage(cmd.Context(), a, q.Container.Image, r.Pull, func() error {
				p, err := params(cmd.Context(), a, q)
				if err != nil {
					return err
				}
				made, err := call(cmd.Context(), a, api.Create, p)
				if err == nil {
					fmt.Fprintln(a.Stdout, made.ID)
				}
				return err
			}), 125)
		},
	}
	r.Bind(c.Flags())
	completeRun(a, c)
	return c
}

func completeRun(a *app, c *cobra.Command) {
	// -h is Docker's --hostname here; the help keeps its long name.
	c.Flags().Bool("help", false, "help for "+c.Name())
	c.ValidArgsFunction = first(words{a}.images)
	for flag, f := range map[string]cobra.CompletionFunc{
		"pod": words{a}.pods, "volume": words{a}.volumes, "network": words{a}.anyNetwork, "ipc": words{a}.modes("private", "shareable", "host", "none"),
		"pid": words{a}.modes("private", "host"), "uts": words{a}.modes("private", "host"), "userns": words{a}.modes("private", "host"),
		"runtime": words{a}.handlers, "cgroupns": fixed("private", "host"), "pull": fixed(ask.PullPolicies()...), "restart": fixed("no", "on-failure", "always", "unless-stopped"),
	} {
		_ = c.RegisterFlagCompletionFunc(flag, f) // the flags exist: they were bound before
	}
}

// request translates, and tells the user what the translation has to say.
func (a *app) request(r *ask.Run, words []string) (ask.Request, error) {
	q, err := r.Translate(words, a.host())
	if err != nil {
		return q, err
	}
	for _, n := range q.Notes {
		fmt.Fprintln(a.Stderr, "carob: note: "+n)
	}
	return q, nil
}

// params are what the daemon is asked for. The image, which may have to be pulled before,
// says which ports -P means.
func params(ctx context.Context, a *app, q ask.Request) (api.RunParams, error) {
	p := api.RunParams{Pod: q.Pod, PodRef: q.PodRef, Container: q.Container}
	if q.PublishAll {
		exposed, err := words{a}.env().Exposed(ctx, q.Container.Image)
		if err != nil {
			return p, err
		}
		p.Pod.Ports = slices.Concat(p.Pod.Ports, exposed)
	}
	return p, nil
}

func (a *app) run(ctx context.Context, r *ask.Run, words []string) error {
	q, err := a.request(r, words)
	if err != nil {
		return err
	}
	return withImage(ctx, a, q.Container.Image, r.Pull, func() error {
		p, err := params(ctx, a, q)
		if err != nil {
			return err
		}
		return runOnce(ctx, a, r, p)
	})
}

func runOnce(ctx context.Context, a *app, r *ask.Run, p api.RunParams) error {
	if r.Detach {
		p.Detach = true
		ended, err := do(ctx, a, api.Run, client.Exchange[api.RunParams, status.Container]{Params: p})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout, ended.ID)
		return nil
	}
	keys, err := ask.DetachKeys(r.DetachKeys)
	if err != nil {
		return err
	}
	p.Size = a.size(r.TTY)
	i := a.container(r.Stdin, r.TTY, keys, r.SigProxy)
	return i.run(ctx, func(ctx context.Context, files api.Files, started func(string)) (api.Ended, error) {
		events := 0
		return do(ctx, a, api.Run, client.Exchange[api.RunParams, status.Container]{
			Params: p, Files: files,
			OnEvent: func(c status.Container) { // created, then running
				i.made.Store(true)
				if events++; events == 2 {
					started(c.ID)
				}
			},
		})
	})
}

// container is an interaction with a container's first process.
func (a *app) container(stdin, tty bool, keys []byte, proxy bool) *interaction {
	return &interaction{
		app: a, stdin: stdin, tty: tty, keys: keys,
		proxy: proxy && !(tty && stdin), // there Ctrl-C is a key like any other
		signal: func(ctx context.Context, id string, n int) error {
			_, err := call(ctx, a, api.Kill, api.SignalParams{Ref: id, Signal: n})
			return err
		},
		wait: func(ctx context.Context, id string) (api.Ended, error) {
			return call(ctx, a, api.Wait, api.WaitParams{Ref: id})
		},
	}
}

func startCommand(a *app) *cobra.Command {
	var attach, stdin bool
	var keys string
	proxy := true
	c := &cobra.Command{
		Use:     "start [FLAGS] CONTAINER…",
		Short:   "Start created or exited containers",
		Example: "  carob start web\n  carob start -ai shell",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, refs []string) error {
			if attach || stdin {
				if len(refs) > 1 {
					return fault.New(fault.Invalid, "start: -a and -i take one container")
				}
				return refusal(a.attached(cmd.Context(), api.Start, attachment{refs[0], stdin, proxy, keys}), 125)
			}
			return a.each(refs, func(ref string) error {
				_, err := do(cmd.Context(), a, api.Start, client.Exchange[api.StartParams, status.Container]{Params: api.StartParams{Ref: ref}})
				return err
			})
		},
		ValidArgsFunction: words{a}.containers,
	}
	c.Flags().BoolVarP(&attach, "attach", "a", false, "show the output and wait for the end")
	c.Flags().BoolVarP(&stdin, "interactive", "i", false, "attach standard input too")
	c.Flags().StringVar(&keys, "detach-keys", ask.DefaultDetachKeys, "key sequence that leaves the container running")
	c.Flags().BoolVar(&proxy, "sig-proxy", true, "pass signals on to the container")
	return c
}

func attachCommand(a *app) *cobra.Command {
	var noStdin bool
	var keys string
	proxy := true
	c := &cobra.Command{
		Use:     "attach [FLAGS] CONTAINER",
		Short:   "Attach to the streams of a running container",
		Example: "  carob attach web      # ctrl-p ctrl-q leaves it running, when it has a terminal",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, refs []string) error {
			return refusal(a.attached(cmd.Context(), api.Attach, attachment{refs[0], !noStdin, proxy, keys}), 1)
		},
		ValidArgsFunction: words{a}.containers,
	}
	c.Flags().BoolVar(&noStdin, "no-stdin", false, "do not attach standard input")
	c.Flags().StringVar(&keys, "detach-keys", ask.DefaultDetachKeys, "key sequence that leaves the container running")
	c.Flags().BoolVar(&proxy, "sig-proxy", true, "pass signals on to the container")
	return c
}

// attachment is what start -a and attach ask for.
type attachment struct {
	ref          string
	stdin, proxy bool
	keys         string
}

func (a *app) attached(ctx context.Context, m api.Method[api.StartParams, status.Container, api.Ended], at attachment) error {
	keys, err := ask.DetachKeys(at.keys)
	if err != nil {
		return err
	}
	c, err := call(ctx, a, api.Container, api.Ref{Ref: at.ref})
	if err != nil {
		return err
	}
	i := a.container(at.stdin && c.Spec.Stdin, c.Spec.TTY, keys, at.proxy)
	i.made.Store(true)
	p := api.StartParams{Ref: c.ID, Wait: true, Size: a.size(c.Spec.TTY)}
	return i.run(ctx, func(ctx context.Context, files api.Files, started func(string)) (api.Ended, error) {
		return do(ctx, a, m, client.Exchange[api.StartParams, status.Container]{
			Params: p, Files: files, OnEvent: func(c status.Container) { started(c.ID) },
		})
	})
}

func execCommand(a *app) *cobra.Command {
	var x ask.Exec
	c := &cobra.Command{
		Use:   "exec [FLAGS] CONTAINER COMMAND [ARG…]",
		Short: "Run a command in a running container",
		Example: `  carob exec web ps
  carob exec -it web sh
  carob exec foo/sidecar -- curl -s http://localhost/get
  carob exec --timeout 5s web curl localhost`,
		Args:              cobra.MinimumNArgs(2),
		RunE:              func(cmd *cobra.Command, words []string) error { return refusal(a.exec(cmd.Context(), &x, words), 1) },
		ValidArgsFunction: first(words{a}.running),
	}
	x.Bind(c.Flags())
	return c
}

func (a *app) exec(ctx context.Context, x *ask.Exec, words []string) error {
	if words[1] == "--" && len(words) > 2 {
		words = slices.Delete(words, 1, 2) // kubectl's habit
	}
	e, err := x.Translate(words[1:], a.host())
	if err != nil {
		return err
	}
	keys, err := ask.DetachKeys(x.DetachKeys)
	if err != nil {
		return err
	}
	p := api.ExecParams{Ref: words[0], Exec: e, Detach: x.Detach}
	if x.Detach {
		_, err := do(ctx, a, api.Exec, client.Exchange[api.ExecParams, api.ExecStarted]{Params: p})
		return err
	}
	p.Size = a.size(e.TTY)
	i := &interaction{
		app: a, stdin: e.Stdin, tty: e.TTY, keys: keys, proxy: !(e.TTY && e.Stdin),
		signal: func(ctx context.Context, id string, n int) error {
			_, err := call(ctx, a, api.SignalExec, api.SignalParams{Ref: id, Signal: n})
			return err
		},
		wait: func(ctx context.Context, id string) (api.Ended, error) {
			return call(ctx, a, api.WaitExec, api.Ref{Ref: id})
		},
	}
	return i.run(ctx, func(ctx context.Context, files api.Files, started func(string)) (api.Ended, error) {
		return do(ctx, a, api.Exec, client.Exchange[api.ExecParams, api.ExecStarted]{
			Params: p, Files: files, OnEvent: func(s api.ExecStarted) { started(s.ID) },
		})
	})
}
