// Package remote is the commands that speak of registries: pull, push, login, logout. The daemon
// speaks with the registry; what is here are the user's credentials, read from Docker's
// config.json or a credential helper and sent with the call, and the picture of a pull.
//
// Files: $DOCKER_CONFIG/config.json, ~/.docker/config.json without; written by login and
// logout alone, 0600.
package remote

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/ask"
)

// Env is what the commands work with.
type Env struct {
	Stdin          *os.File
	Stdout, Stderr io.Writer
	LookupEnv      func(string) (string, bool)
	// Size is the terminal's behind Stderr, and false when there is none to draw on.
	Size func() (width, height int, ok bool)
	// Daemon is the daemon's client.
	Daemon func(context.Context) (*client.Client, error)
	// Images completes the name of an image that is here.
	Images cobra.CompletionFunc
}

// ImageCommands move images.
func ImageCommands(e Env) []*cobra.Command { return []*cobra.Command{pullCommand(e), pushCommand(e)} }

// LoginCommands keep credentials.
func LoginCommands(e Env) []*cobra.Command {
	return []*cobra.Command{loginCommand(e), logoutCommand(e)}
}

func pullCommand(e Env) *cobra.Command {
	var platform string
	var quiet bool
	c := &cobra.Command{
		Use: "pull [FLAGS] IMAGE…", Short: "Get images from a registry",
		Long: `Gets images from a registry. A name without a host is one of docker.io, without a tag
it means :latest. What is here already is not downloaded again. Ctrl-C leaves nothing
half done. Credentials are those of carob login and of Docker's config.json.`,
		Example: "  carob pull alpine\n  carob pull --platform linux/arm64 quay.io/podman/hello",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: e.Images,
		RunE: func(cmd *cobra.Command, refs []string) error {
			for _, r := range refs {
				img, err := e.Pull(cmd.Context(), r, Options{Platform: platform, Quiet: quiet})
				if err != nil {
					return err
				}
				fmt.Fprintln(e.Stdout, img.ID)
			}
			return nil
		},
	}
	c.Flags().StringVar(&platform, "platform", "", "pull for another `OS/ARCHITECTURE[/VARIANT]` than this machine's")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	return c
}

func pushCommand(e Env) *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use: "push [FLAGS] IMAGE", Short: "Send an image to a registry",
		Long: `Sends an image to the registry that its name says and prints the digest it has there.
Layers that the registry has are not sent. Layers are kept unpacked here: one that the
registry has not is packed anew, and then the image has another digest there than where
it came from. Its ID stays the same.`,
		Example: "  carob tag alpine localhost:5000/alpine\n  carob push localhost:5000/alpine",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: e.Images,
		RunE: func(cmd *cobra.Command, refs []string) error {
			d, err := e.Daemon(cmd.Context())
			if err != nil {
				return err
			}
			v := e.view(quiet)
			done, err := client.Do(cmd.Context(), d, api.ImagePush, client.Exchange[api.PullParams, api.PullProgress]{
				Params: api.PullParams{Ref: refs[0], Auth: e.credentials(ask.RegistryOf(refs[0]))}, OnEvent: v.show,
			})
			v.end()
			if err != nil {
				return err
			}
			fmt.Fprintln(e.Stdout, done.Digest)
			return nil
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	return c
}

// Options say how an image is pulled.
type Options struct {
	Platform string
	Quiet    bool
}

// Pull has the daemon get an image with the user's credentials, and shows how far it is.
func (e Env) Pull(ctx context.Context, name string, o Options) (api.Image, error) {
	p := api.PullParams{Ref: name, Platform: o.Platform, Auth: e.credentials(ask.RegistryOf(name))}
	d, err := e.Daemon(ctx)
	if err != nil {
		return api.Image{}, err
	}
	v := e.view(o.Quiet)
	img, err := client.Do(ctx, d, api.ImagePull, client.Exchange[api.PullParams, api.PullProgress]{Params: p, OnEvent: v.show})
	v.end()
	return img, err
}
