package pod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"carob/internal/plan/etc"
	"carob/internal/spec"
	"carob/internal/status"
)

// writeFiles writes the pod's files of /etc, which package etc decides, into the pod's
// directory. They are rewritten in place: containers have the very files bind mounted.
func (e starter) writeFiles(p *pod, links []status.Connection) error {
	p.step.Set("files")
	files, err := etc.Files(etc.Request{Hostname: p.hostname(), Net: p.record().Namespaces.Net, Hosts: p.spec.Hosts, DNS: p.spec.DNS, Links: links, Host: os.ReadFile})
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(p.dir, name)
		// Whatever the umask says, containers read it.
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644)); err != nil {
			return fmt.Errorf("/etc/%s: %w", name, err)
		}
	}
	return nil
}

// files returns container path → host file for the files of /etc that no mount of
// the container's replaces.
func (p *pod) files(c spec.Container) map[string]string {
	out := map[string]string{}
	for _, name := range etc.Names() {
		if !slices.ContainsFunc(c.Mounts, func(m spec.Mount) bool { return filepath.Clean(m.Target) == "/etc/"+name }) {
			out["/etc/"+name] = filepath.Join(p.dir, name)
		}
	}
	return out
}
