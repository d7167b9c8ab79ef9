package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/cli/cli/config/types"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/ref"
)

// maxPassword bounds what is read from standard input.
const maxPassword = 64 << 10

func loginCommand(e Env) *cobra.Command {
	var a types.AuthConfig
	var stdin bool
	c := &cobra.Command{
		Use: "login [FLAGS] [REGISTRY]", Short: "Keep credentials for a registry",
		Long: `Asks the registry whether it takes the credentials and keeps them in Docker's
config.json, or in the credential helper that the file names. Without a name the registry
is docker.io.`,
		Example: "  carob login quay.io\n  carob login -u me --password-stdin localhost:5000 < token",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, words []string) error {
			if err := e.complete(&a, stdin, cmd.Flags().Changed("password")); err != nil {
				return fmt.Errorf("login: %w", err)
			}
			return e.login(cmd.Context(), registryFrom(words), a)
		},
	}
	c.Flags().StringVarP(&a.Username, "username", "u", "", "user `NAME`")
	c.Flags().StringVarP(&a.Password, "password", "p", "", "`PASSWORD` or token; everybody on this machine can see it: prefer --password-stdin")
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return c
}

// registryFrom is the registry that the user means.
func registryFrom(words []string) string {
	if len(words) == 0 {
		return ref.DefaultRegistry
	}
	host := strings.TrimPrefix(strings.TrimPrefix(words[0], "https://"), "http://")
	host, _, _ = strings.Cut(host, "/")
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return ref.DefaultRegistry
	}
	return host
}

// complete asks for what is not given, if there is somebody to ask.
func (e Env) complete(a *types.AuthConfig, stdin, given bool) error {
	tty := term.IsTerminal(int(e.Stdin.Fd()))
	switch {
	case stdin && given:
		return fault.New(fault.Invalid, "--password and --password-stdin exclude each other")
	case stdin && a.Username == "":
		return fault.New(fault.Invalid, "--password-stdin needs --username")
	case !tty && (a.Username == "" || !stdin && !given):
		return fault.New(fault.Invalid, "standard input is no terminal to ask on; use --username and --password-stdin")
	}
	in := bufio.NewReader(io.LimitReader(e.Stdin, maxPassword))
	if a.Username == "" {
		fmt.Fprint(e.Stderr, "Username: ")
		line, err := in.ReadString('\n')
		if err != nil {
			return fault.Wrap(fault.Invalid, "username", err)
		}
		a.Username = strings.TrimSpace(line)
	}
	var err error
	switch {
	case stdin:
		var b []byte
		b, err = io.ReadAll(in)
		a.Password = strings.TrimRight(string(b), "\r\n")
	case !given:
		a.Password, err = e.secretly()
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, "password", err)
	}
	if a.Username == "" || a.Password == "" {
		return fault.New(fault.Invalid, "an empty username or password")
	}
	return nil
}

func (e Env) secretly() (string, error) {
	fmt.Fprint(e.Stderr, "Password: ")
	b, err := term.ReadPassword(int(e.Stdin.Fd()))
	fmt.Fprintln(e.Stderr)
	return string(b), err
}

func (e Env) login(ctx context.Context, registry string, a types.AuthConfig) error {
	f, err := e.file()
	if err != nil {
		return err // before the registry is asked: nothing could be kept
	}
	d, err := e.Daemon(ctx)
	if err != nil {
		return err
	}
	v := e.view(false)
	_, err = api.Do(ctx, d, api.RegistryLogin, api.Exchange[api.LoginParams, api.PullProgress]{
		Params: api.LoginParams{Registry: registry, Auth: api.RegistryAuth(a)}, OnEvent: v.show,
	})
	v.end()
	if err != nil {
		return err
	}
	if f.Filename == "" {
		return fault.New(fault.Invalid, "login: neither DOCKER_CONFIG nor HOME says where to keep credentials")
	}
	a.ServerAddress = key(registry)
	if err := f.GetCredentialsStore(key(registry)).Store(a); err != nil {
		return fault.Wrap(fault.Unavailable, "login: keep the credentials", err)
	}
	where := f.Filename
	if f.CredentialsStore != "" {
		where = "docker-credential-" + f.CredentialsStore
	}
	fmt.Fprintf(e.Stderr, "carob: %s takes the credentials; kept in %s\n", registry, where)
	return nil
}

func logoutCommand(e Env) *cobra.Command {
	return &cobra.Command{
		Use: "logout [REGISTRY]", Short: "Forget credentials for a registry",
		Example: "  carob logout quay.io",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, words []string) error {
			registry := registryFrom(words)
			f, err := e.file()
			if err != nil {
				return err
			}
			a, err := f.GetAuthConfig(key(registry))
			if err == nil && (a == types.AuthConfig{} || a == types.AuthConfig{ServerAddress: a.ServerAddress}) {
				return fault.New(fault.NotFound, "logout: no credentials for "+registry)
			}
			if err := errors.Join(err, f.GetCredentialsStore(key(registry)).Erase(key(registry))); err != nil && !os.IsNotExist(err) {
				return fault.Wrap(fault.Unavailable, "logout", err)
			}
			return nil
		},
	}
}
