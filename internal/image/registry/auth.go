package registry

import (
	"encoding/base64"
	"net/url"
	"strings"

	"carob/internal/fault"
	"carob/internal/ref"
)

// secretOf is the user and the password, or no user and the identity token.
func secretOf(a Auth) (user, secret string, err error) {
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
func meantFor(a Auth, registry string) bool {
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
	case "index.docker.io", "registry-1.docker.io":
		return ref.DefaultRegistry
	}
	return host
}
