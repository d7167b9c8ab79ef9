package registry

import (
	"encoding/base64"
	"net/url"
	"strings"

	"carob/internal/fault"
	"carob/internal/ref"
)

// Auth are credentials for one registry; the zero value is none. The fields are those
// of CRI's AuthConfig and of Docker's config.json.
type Auth struct {
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Auth is base64 of "username:password", instead of the two.
	Auth string `json:"auth,omitempty"`
	// ServerAddress names the registry they are for; empty is the one of the image.
	ServerAddress string `json:"serveraddress,omitempty"`
	// IdentityToken gets access tokens from the token server.
	IdentityToken string `json:"identitytoken,omitempty"`
	// RegistryToken is an access token itself.
	RegistryToken string `json:"registrytoken,omitempty"`
}

// String hides everything: credentials must not get into a log by accident.
func (a Auth) String() string { return "credentials" }

// secret is the user and the password, or no user and the identity token.
func (a Auth) secret() (user, secret string, err error) {
	switch {
	case a.IdentityToken != "":
		return "", a.IdentityToken, nil
	case a.Username != "" || a.Password != "":
		return a.Username, a.Password, nil
	case a.Auth == "":
		return "", "", nil
	}
	text, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return "", "", fault.New(fault.Invalid, "credentials: auth: not base64")
	}
	user, secret, ok := strings.Cut(string(text), ":")
	if !ok {
		return "", "", fault.New(fault.Invalid, "credentials: auth: not USER:PASSWORD")
	}
	return user, strings.Trim(secret, "\x00"), nil
}

// meantFor tells whether the credentials are for this registry.
func (a Auth) meantFor(registry string) bool {
	return a.ServerAddress == "" || serverHost(a.ServerAddress) == registry
}

// serverHost is the registry that a server address of Docker's forms names:
// "https://index.docker.io/v1/" is docker.io.
func serverHost(address string) string {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	}
	host, _, _ = strings.Cut(host, "/")
	switch host {
	case "index.docker.io", apiHost:
		return ref.DefaultRegistry
	}
	return host
}

// apiHost is where docker.io's images are.
const apiHost = "registry-1.docker.io"

// hostOf is the host that answers for a registry.
func hostOf(registry string) string {
	if registry == ref.DefaultRegistry {
		return apiHost
	}
	return registry
}
