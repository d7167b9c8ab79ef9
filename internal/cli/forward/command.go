package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/status"
	"carob/internal/sys/session"
)

// Env is what the command works with.
type Env struct {
	Stdout, Stderr io.Writer
	// Dial connects to the daemon, starting one when none runs.
	Dial func(ctx context.Context) (*client.Client, error)
}

// Command is port-forward.
func Command(e Env) *cobra.Command {
	var addresses []string
	c := &cobra.Command{
		GroupID: "pods", // of package cli
		Use:     "port-forward [FLAGS] POD [LOCAL:]REMOTE…", Short: "Forward ports of this machine into a pod",
		Long: `Listens on ports of this machine and connects whoever comes with a TCP port of the
pod's loopback, 127.0.0.1 or else ::1, until it is interrupted or the pod ends. The
pod needs no network. POD may also be the name of a container.`,
		Example: `  carob port-forward foo 8080:80
  carob port-forward foo :80                  # any free port here
  carob port-forward foo 8080:http 5432       # a port by its name; the same number on both sides
  carob port-forward --address 0.0.0.0 foo 8080:80`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, words []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), session.Quit()...)
			defer stop()
			if err := e.run(ctx, words[0], words[1:], addresses); err != nil {
				return fmt.Errorf("port-forward: %w", err)
			}
			return nil
		},
		ValidArgsFunction: e.complete,
	}
	c.Flags().StringSliceVar(&addresses, "address", []string{"localhost"}, "`IP` address to listen on, or localhost; may be repeated")
	return c
}

func (e Env) complete(cmd *cobra.Command, words []string, _ string) (found []string, _ cobra.ShellCompDirective) {
	if len(words) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	no := false
	pods, err := call(cmd.Context(), e, api.Pods, client.Exchange[status.Filter, api.None]{Params: status.Filter{Solo: &no}})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, p := range pods {
		found = append(found, p.Name)
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func (e Env) run(ctx context.Context, ref string, ports, addresses []string) error {
	p, err := e.pod(ctx, strings.TrimPrefix(ref, "pod/")) // kubectl's habit
	if err != nil {
		return err
	}
	if p.State != lifecycle.PodReady {
		return fault.New(fault.Conflict, "pod "+p.Name+": does not run")
	}
	var rules []Rule
	for _, word := range ports {
		r, err := Parse(word, p.Spec.Ports)
		if err != nil {
			return err
		}
		rules = append(rules, r)
	}
	ls, err := Listen(addresses, rules)
	if err != nil {
		return err
	}
	for _, l := range ls {
		fmt.Fprintf(e.Stdout, "Forwarding from %s -> %d\n", l.Addr(), l.Remote)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() { cancel(e.end(ctx, p)); close(watched) }()
	err = Forwarder{
		Dial:   func(ctx context.Context, port uint16) (*os.File, error) { return e.dial(ctx, p.ID, port) },
		Report: func(err error) { fmt.Fprintf(e.Stderr, "carob: port-forward: %v\n", err) },
	}.Serve(ctx, ls)
	cancel(nil)
	<-watched
	if errors.Is(err, context.Canceled) {
		return nil // interrupted, which is how it ends
	}
	return err
}

// call asks the daemon that there is now. One that goes away before it answers is asked
// for again once: nothing here changes anything.
func call[P, E, R any](ctx context.Context, e Env, m api.Method[P, E, R], x client.Exchange[P, E]) (R, error) {
	r, err := ask(ctx, e, m, x)
	if errors.Is(err, client.ErrLost) && ctx.Err() == nil {
		r, err = ask(ctx, e, m, x)
	}
	return r, err
}

func ask[P, E, R any](ctx context.Context, e Env, m api.Method[P, E, R], x client.Exchange[P, E]) (r R, err error) {
	c, err := e.Dial(ctx)
	if err != nil {
		return r, err
	}
	defer func() { _ = c.Close() }() // at most a connection that was not needed
	return client.Do(ctx, c, m, x)
}

func (e Env) inspect(ctx context.Context, ref string) (status.Pod, error) {
	p, err := call(ctx, e, api.InspectPod, client.Exchange[api.Ref, api.None]{Params: api.Ref{Ref: ref}})
	return p.Pod, err
}

// pod finds a pod by its own name or by that of a container in it.
func (e Env) pod(ctx context.Context, ref string) (status.Pod, error) {
	p, err := e.inspect(ctx, ref)
	if !fault.Is(err, fault.NotFound) {
		return p, err
	}
	c, cerr := call(ctx, e, api.Container, client.Exchange[api.Ref, api.None]{Params: api.Ref{Ref: ref}})
	if cerr != nil {
		return p, err
	}
	return e.inspect(ctx, c.PodID)
}

func (e Env) dial(ctx context.Context, id string, port uint16) (socket *os.File, err error) {
	_, err = call(ctx, e, api.PodDial, client.Exchange[api.DialParams, api.None]{
		Params: api.DialParams{Ref: id, Port: port}, Take: func(f *os.File) { socket = f },
	})
	if err == nil && socket == nil {
		err = fault.New(fault.Internal, "the daemon passed no socket")
	}
	return socket, err
}

// end returns when p has ended, however long that takes and however many daemons, and
// says so. Events only tell when to look: old ones may be of an earlier life of the pod.
func (e Env) end(ctx context.Context, p status.Pod) error {
	for {
		if err := e.ended(ctx, p); err != nil {
			return err
		}
		watch, cancel := context.WithCancel(ctx)
		_, err := ask(watch, e, api.Events, client.Exchange[api.EventsParams, status.Event]{
			Params: api.EventsParams{From: 1},
			OnEvent: func(ev status.Event) {
				over := ev.Action == "stop" || ev.Action == "exit" || ev.Action == "remove"
				if ev.PodID == p.ID && ev.Type == "pod" && over && e.ended(ctx, p) != nil {
					cancel()
				}
			},
		})
		stopped := watch.Err() != nil
		cancel()
		if err != nil && !stopped && !errors.Is(err, client.ErrLost) {
			return err
		}
	}
}

// ended is the error that p does not run any more, nil while it does.
func (e Env) ended(ctx context.Context, p status.Pod) error {
	now, err := e.inspect(ctx, p.ID)
	if err == nil && now.State == lifecycle.PodReady && now.Namespaces["net"] == p.Namespaces["net"] {
		return nil
	}
	if err == nil || fault.Is(err, fault.NotFound) {
		return fault.New(fault.Conflict, "pod "+p.Name+": has ended")
	}
	return err
}
