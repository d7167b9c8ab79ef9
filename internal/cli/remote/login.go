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
	"carob/internal/api/client"
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
	if err := e.mayAsk(a.Username != "", stdin, given); err != nil {
		return fault.Wrap(fault.Invalid, "", err)
	}
	err := e.username(a)
	if err == nil && !given {
		a.Password, err = e.password(stdin)
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, "read the credentials", err)
	}
	if a.Username == "" || a.Password == "" {
		return fault.New(fault.Invalid, "an empty username or password")
	}
	return nil
}

// mayAsk refuses flags that do not go together, and to ask where nobody sits.
func (e Env) mayAsk(named, stdin, given bool) error {
	switch complete := named && (stdin || given); {
	case stdin && given:
		return errors.New("--password and --password-stdin exclude each other")
	case stdin && !named:
		return errors.New("--password-stdin needs --username")
	case !complete && !term.IsTerminal(int(e.Stdin.Fd())):
		return errors.New("standard input is no terminal to ask on; use --username and --password-stdin")
	}
	return nil
}

func (e Env) username(a *types.AuthConfig) error {
	if a.Username != "" {
		return nil
	}
	fmt.Fprint(e.Stderr, "Username: ")
	line, err := bufio.NewReader(io.LimitReader(e.Stdin, maxPassword)).ReadString('\n') // a terminal gives a line at a time
	a.Username = strings.TrimSpace(line)
	return err
}

func (e Env) password(stdin bool) (string, error) {
	if !stdin {
		return e.secretly()
	}
	b, err := io.ReadAll(io.LimitReader(e.Stdin, maxPassword))
	return strings.TrimRight(string(b), "\r\n"), err
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
	_, err = client.Do(ctx, d, api.RegistryLogin, client.Exchange[api.LoginParams, api.PullProgress]{
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
