package pod

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
)

// The files of /etc that carob writes for a pod, all in the pod's directory.
func etcFiles() []string { return []string{"hosts", "hostname", "resolv.conf"} }

// writeFiles writes the pod's /etc files. They are rewritten in place: containers
// have the very files bind mounted.
func (e starter) writeFiles(p *pod, ips []string) error {
	p.step.set("files")
	resolv, err := e.resolvConf(p)
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"hosts":       hostsFile(p.hostname(), ips, p.spec.Hosts),
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
		return resolvFile(*d)
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
		if out, ok := reachable(string(text)); ok {
			return out, nil
		}
	}
	return "", nil
}

// hostsFile is the content of /etc/hosts: the loopback, the pod's own name, and
// what was asked for.
func hostsFile(hostname string, ips []string, extra []spec.HostAlias) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n")
	if len(ips) == 0 {
		ips = []string{"127.0.1.1"} // Debian's convention: the name resolves without a network
	}
	for _, ip := range ips {
		fmt.Fprintf(&b, "%s\t%s\n", ip, hostname)
	}
	for _, h := range extra {
		fmt.Fprintf(&b, "%s\t%s\n", h.IP, strings.Join(h.Hostnames, " "))
	}
	return b.String()
}

// checkHosts refuses lines that would be more than a line.
func checkHosts(hosts []spec.HostAlias) error {
	for _, h := range hosts {
		if _, err := netip.ParseAddr(h.IP); err != nil {
			return fault.New(fault.Invalid, fmt.Sprintf("host alias %.60q: not an IP address", h.IP))
		}
		for _, n := range h.Hostnames {
			if len(n) > 253 || !plainName.MatchString(n) {
				return fault.New(fault.Invalid, fmt.Sprintf("host alias %.80q: not a host name", n))
			}
		}
	}
	return nil
}

// resolvFile is the content of resolv.conf(5).
func resolvFile(d spec.DNS) (string, error) {
	var b strings.Builder
	for _, n := range d.Nameservers {
		if _, err := netip.ParseAddr(n); err != nil {
			return "", fault.New(fault.Invalid, fmt.Sprintf("dns server %.60q: not an IP address", n))
		}
		fmt.Fprintf(&b, "nameserver %s\n", n)
	}
	for what, words := range map[string][]string{"search": d.Searches, "option": d.Options} {
		for _, w := range words {
			if w == "" || strings.ContainsAny(w, " \t\r\n\x00") {
				return "", fault.New(fault.Invalid, fmt.Sprintf("dns %s %.80q: not one word", what, w))
			}
		}
	}
	if len(d.Searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(d.Searches, " "))
	}
	if len(d.Options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(d.Options, " "))
	}
	return b.String(), nil
}

// reachable takes out of the host's resolv.conf the servers on the host's loopback,
// which a network namespace of its own does not reach; ok says whether any server
// is left.
func reachable(host string) (text string, ok bool) {
	lines := slices.DeleteFunc(strings.SplitAfter(host, "\n"), func(l string) bool {
		f := strings.Fields(l)
		if len(f) < 2 || f[0] != "nameserver" {
			return false
		}
		ip, err := netip.ParseAddr(f[1])
		if err == nil && ip.IsLoopback() {
			return true
		}
		ok = ok || err == nil
		return false
	})
	return strings.Join(lines, ""), ok
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
