package remote

import (
	"fmt"
	"path/filepath"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/ref"
)

// dockerKey is what config.json calls docker.io.
const dockerKey = "https://index.docker.io/v1/"

func key(registry string) string {
	if registry == ref.DefaultRegistry {
		return dockerKey
	}
	return registry
}

// file reads config.json; one that is not there is empty.
func (e Env) file() (*configfile.ConfigFile, error) {
	dir, ok := e.LookupEnv("DOCKER_CONFIG")
	if !ok || dir == "" {
		home, ok := e.LookupEnv("HOME")
		if !ok || home == "" {
			return configfile.New(""), nil
		}
		dir = filepath.Join(home, ".docker")
	}
	f, err := config.Load(dir)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "credentials", err)
	}
	return f, nil
}

// credentials are the user's for a registry. What cannot be read is told and left out: most
// images need none.
func (e Env) credentials(registry string) api.RegistryAuth {
	if registry == "" {
		return api.RegistryAuth{} // the daemon refuses the reference with better words
	}
	f, err := e.file()
	var a types.AuthConfig
	if err == nil {
		a, err = f.GetAuthConfig(key(registry))
	}
	if err != nil {
		fmt.Fprintf(e.Stderr, "carob: warning: %s: no credentials: %v\n", registry, err)
		return api.RegistryAuth{}
	}
	a.ServerAddress = "" // they are for the registry that is asked
	return api.RegistryAuth(a)
}
