package ocispec

import (
	"bufio"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// Changes says what the container would change in a namespace of this kind: it must not be
// the host's then (CVE-2022-0532). "" is nothing.
func Changes(s *specs.Spec, kind specs.LinuxNamespaceType) string {
	switch {
	case kind == specs.MountNamespace:
		return "whose root would be the container's from then on"
	case kind == specs.UTSNamespace && s.Hostname+s.Domainname != "":
		return "whose name would be the container's"
	case Sets(s, kind):
		return "in which linux.sysctl is not allowed"
	}
	return ""
}

// OwnDevices leaves out /dev/ptmx, which is always the container's own (and which engines
// list all the same).
func OwnDevices(all []specs.LinuxDevice) []specs.LinuxDevice {
	return slices.DeleteFunc(slices.Clone(all), func(d specs.LinuxDevice) bool { return d.Path == "/dev/ptmx" })
}

// Scant tells whether the memory limit is so low that what builds the world, some 300 KB,
// must not be charged to the container: then the slow way into the group is taken, late.
func Scant(s *specs.Spec) bool {
	const enough = 16 << 20
	m := s.Linux.Resources.Memory
	return m != nil && m.Limit != nil && *m.Limit > 0 && *m.Limit < enough
}

// Hooked tells whether something has to be done in the container's namespaces before
// its process leaves the host's root.
func Hooked(s *specs.Spec) bool {
	h := s.Hooks
	//lint:ignore SA1019 a deprecated field must still be honoured
	return len(s.Linux.NetDevices) > 0 || h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0
}

// Within tells whether a path is dir or below, by its words, and returns it as seen from there.
func Within(dir, name string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(filepath.Clean(name), strings.TrimSuffix(filepath.Clean(dir), "/"))
	if rest == "" {
		rest = "/"
	}
	return rest, ok && rest[0] == '/'
}

// Environment makes every variable stand once, the last one said, and leaves an empty HOME
// out. It tells whether there is one besides. Invalid names a variable that is none.
func Environment(p *specs.Process) (home bool, err error) {
	seen := map[string]bool{}
	var env []string
	for _, e := range slices.Backward(p.Env) {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return false, fault.New(fault.Invalid, "process.env: "+strconv.Quote(e)+" is not NAME=VALUE")
		}
		if !seen[name] && e != "HOME=" {
			env = append(env, e)
		}
		home = home || name == "HOME" && !seen[name] && e != "HOME="
		seen[name] = true
	}
	slices.Reverse(env)
	p.Env = env
	return home, nil
}

// Home reads a passwd(5). A directory with a control character would become two lines of
// somebody's environment (CVE-2022-4318 was such a line).
func Home(r io.Reader, uid uint32) (string, error) {
	id := strconv.FormatUint(uint64(uid), 10)
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Split(s.Text(), ":")
		if len(f) >= 7 && f[2] == id && f[5] != "" && !strings.ContainsFunc(f[5], func(r rune) bool { return r < ' ' }) {
			return f[5], nil
		}
	}
	if err := s.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return "", err
	}
	return "/", nil
}
