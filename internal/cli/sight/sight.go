// Package sight is the commands that look at containers and pods from outside: they
// read /proc and the cgroup file systems (package look) and write what the packages
// below look decide. They need no daemon and change nothing.
package sight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"carob/internal/cli/show"
	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/ink"
)

// Env is what the commands work with.
type Env struct {
	Stdout, Stderr io.Writer
	// Colour is true for a terminal whose user has not asked for none.
	Colour bool
	// Terminal reports whether a person sits before both ends; nil is nobody.
	Terminal func() bool
	// Root is where proc and sys are, "" for this machine; RunDirs are carob's.
	Root    string
	RunDirs []string
}

// output is -o of a command.
type output string

func (o *output) bind(c *cobra.Command, formats ...string) {
	c.Flags().StringVarP((*string)(o), "output", "o", "", "output `FORMAT`: "+strings.Join(formats, ", "))
	_ = c.RegisterFlagCompletionFunc("output", fixed(formats...)) // the flag exists: it was made above
	c.PreRunE = func(*cobra.Command, []string) error {
		for _, f := range formats {
			if string(*o) == f || *o == "" {
				return nil
			}
		}
		return fault.New(fault.Invalid, "-o "+string(*o)+": use "+strings.Join(formats, ", "))
	}
}

// document reports whether a format is for programs.
func (o output) document() bool { return o == "json" || o == "yaml" }

// write writes a value as a document, or as its text.
func (e Env) write(o output, value any, text func(io.Writer) error) error {
	if o.document() {
		return show.Document(e.Stdout, string(o), value)
	}
	return text(e.Stdout)
}

func (e Env) pen() ink.Pen { return ink.Pen{Colour: e.Colour} }

func (e Env) read(ctx context.Context, o look.Options) (*look.Host, error) {
	o.Root, o.RunDirs = e.Root, e.RunDirs
	return look.Read(ctx, o)
}

// less says to who is not root that there is more to be seen.
func (e Env) less(h *look.Host) {
	if len(h.Unread) > 0 && os.Geteuid() != 0 {
		fmt.Fprintln(e.Stderr, "As root more can be seen.")
	}
}

// find finds the things that words mean. What is not there may be what could not be
// seen.
func find(h *look.Host, words []string) ([]look.Thing, error) {
	var things []look.Thing
	var errs []error
	for _, w := range words {
		t, err := h.Find(w)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		things = append(things, t)
	}
	err := errors.Join(errs...)
	if err != nil && len(h.Unread) > 0 && os.Geteuid() != 0 {
		err = fmt.Errorf("%w\nsome processes could not be read without root", err)
	}
	return things, err
}

// one finds the thing that a command is about.
func one(h *look.Host, word string) (look.Thing, error) {
	things, err := find(h, []string{word})
	if err != nil {
		return look.Thing{}, err
	}
	return things[0], nil
}

func fixed(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// Things completes the names of pods and containers, up to so many words.
func (e Env) Things(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		h, err := e.read(cmd.Context(), look.Options{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names(h), cobra.ShellCompDirectiveNoFileComp
	}
}

// names are the words that mean a pod or container of a host.
func names(h *look.Host) []string {
	var out []string
	for i := range h.Pods {
		if p := &h.Pods[i]; !p.Solo {
			out = append(out, ink.Safe(h.PodThing(i).Name))
		}
	}
	for i := range h.Containers {
		if h.Containers[i].Class == look.ClassContainer {
			out = append(out, ink.Safe(h.ContainerThing(i).Name))
		}
	}
	return out
}
