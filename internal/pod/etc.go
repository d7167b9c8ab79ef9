package pod

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"carob/internal/plan/etc"
	"carob/internal/spec"
	"carob/internal/status"
)

// The files of /etc that carob writes for a pod, all in the pod's directory.
func etcFiles() []string { return []string{"hosts", "hostname", "resolv.conf"} }

// writeFiles writes the pod's /etc files. They are rewritten in place: containers
// have the very files bind mounted.
func (e starter) writeFiles(p *pod, links []status.Connection) error {
	p.step.set("files")
	resolv, err := e.resolvConf(p)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"hosts":       etc.Hosts(p.hostname(), status.IPs(links), p.spec.Hosts),
		"hostname":    p.hostname() + "\n",
		"resolv.conf": resolv,
	} {
		path := filepath.Join(p.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return fmt.Errorf("/etc/%s: %w", name, err)
		}
		if err := os.Chmod(path, 0o644); err != nil { // whatever the umask says, containers read it
			return fmt.Errorf("/etc/%s: %w", name, err)
		}
	}
	return nil
}

func (e starter) resolvConf(p *pod) (string, error) {
	if d := p.spec.DNS; d != nil {
		return etc.Resolv(*d)
	}
	own := p.record().Namespaces.Net == spec.Own
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if !own {
			return string(text), nil
		}
		if out, ok := etc.Reachable(string(text)); ok {
			return out, nil
		}
	}
	return "", nil
}

// files returns container path → host file for the files of /etc that no mount of
// the container's replaces.
func (p *pod) files(c spec.Container) map[string]string {
	out := map[string]string{}
	for _, name := range etcFiles() {
		target := "/etc/" + name
		covered := func(m spec.Mount) bool { return filepath.Clean(m.Target) == target }
		if !slices.ContainsFunc(c.Mounts, covered) {
			out[target] = filepath.Join(p.dir, name)
		}
	}
	return out
}
