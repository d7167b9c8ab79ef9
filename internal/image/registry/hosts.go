package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/pelletier/go-toml/v2"
	"github.com/sirupsen/logrus"

	"carob/internal/fault"
)

// link is how one registry is spoken to in one call: its mirrors and itself, in the
// order in which they are asked.
type link struct {
	registry string
	hosts    []docker.RegistryHost
}

// connect reads the registry's directory of the configuration and prepares clients; it
// sends nothing.
func (c *Client) connect(ctx context.Context, registry string, auth Auth, note func(Progress)) (link, error) {
	r := &rules{pace: c.c.Pace, agent: c.c.Agent, note: note, hosts: map[string]bool{}}
	var user, secret string
	if meantFor(auth, registry) {
		var err error
		if user, secret, err = secretOf(auth); err != nil {
			return link{}, err
		}
		r.token = auth.RegistryToken
	}
	if err := checkHostDir(c.c.Dir, registry); err != nil {
		return link{}, err
	}
	hosts, err := config.ConfigureHosts(quiet(ctx), config.HostOptions{
		HostDir: config.HostDirFromRoot(c.c.Dir),
		Credentials: func(host string) (string, string, error) {
			if !r.own(host) {
				return "", "", nil // a mirror or a stranger
			}
			return user, secret, nil
		},
		UpdateClient: func(h *http.Client) error {
			h.Transport = &gate{base: h.Transport, rules: r}
			return nil
		},
	})(registry)
	if err != nil {
		return link{}, fault.Wrap(fault.Invalid, "registry "+registry+": configuration", err)
	}
	r.know(hosts)
	return link{registry: registry, hosts: hosts}, nil
}

// own tells whether a host is the registry itself.
func (r *rules) own(host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return host == r.itself
}

// know tells the gates where they may send what. The registry itself, at the address that
// its file may give, comes last.
func (r *rules) know(hosts []docker.RegistryHost) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(hosts) > 0 {
		r.itself = hosts[len(hosts)-1].Host
	}
	r.secure = true
	for _, h := range hosts {
		r.hosts[h.Host] = true
		_, gated := h.Client.Transport.(*gate)
		r.secure = r.secure && h.Scheme == "https" && gated // else the library falls back to HTTP, as for localhost
		for name := range h.Header {
			r.private = append(r.private, name)
		}
	}
}

// resolver is the library's for these hosts.
func (l link) resolver() docker.ResolverOptions {
	return docker.ResolverOptions{Hosts: func(string) ([]docker.RegistryHost, error) { return l.hosts, nil }}
}

// quiet keeps the library's log lines out of the process's log, which is not its own:
// what matters of them is in its errors.
func quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(l))
}

// hostFile is hosts.toml as containerd documents it. The library would log a mistake and
// go on without the file, and so to another server than the one that was meant.
type hostFile struct {
	hostFields
	Server string                `toml:"server"`
	Host   map[string]hostFields `toml:"host"`
}

type hostFields struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`
	Client       any            `toml:"client"`
	SkipVerify   *bool          `toml:"skip_verify"`
	Header       map[string]any `toml:"header"`
	OverridePath bool           `toml:"override_path"`
	DialTimeout  string         `toml:"dial_timeout"`
}

// maxHostFile bounds hosts.toml, which people write.
const maxHostFile = 1 << 20

// checkHostDir refuses a hosts.toml that the library would ignore.
func checkHostDir(root, registry string) error {
	dir, err := config.HostDirFromRoot(root)(registry)
	if err != nil || dir == "" {
		return nil // none; what cannot be read, the library reports
	}
	path := filepath.Join(dir, "hosts.toml")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // certificates alone
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, "registry "+registry, err)
	}
	defer func() { _ = f.Close() }() // only read from
	if err := parseHostFile(io.LimitReader(f, maxHostFile)); err != nil {
		return fault.Wrap(fault.Invalid, path, err)
	}
	return nil
}

func parseHostFile(r io.Reader) error {
	var h hostFile
	if err := toml.NewDecoder(r).DisallowUnknownFields().Decode(&h); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) && len(strict.Errors) > 0 {
			return fmt.Errorf("unknown key %q", strings.Join(strict.Errors[0].Key(), "."))
		}
		return err
	}
	if err := h.check("server", h.Server); err != nil {
		return err
	}
	for server, fields := range h.Host {
		if server == "" {
			return errors.New("host: empty name")
		}
		if err := fields.check("host", server); err != nil {
			return err
		}
	}
	return nil
}

func (h hostFields) check(key, server string) error {
	if !strings.HasPrefix(server, "http") && server != "" {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return fmt.Errorf("%s %q: %w", key, server, err)
	}
	if server != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%s %q: want http:// or https:// and a host", key, server)
	}
	for _, c := range h.Capabilities {
		if !slices.Contains([]string{"pull", "resolve", "push", "referrers"}, strings.ToLower(c)) {
			return fmt.Errorf("%s %q: unknown capability %q", key, server, c)
		}
	}
	return nil
}
