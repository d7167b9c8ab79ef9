package ocirt

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
)

// aim replaces a mount's destination that goes through links by where they lead, so that
// the target can be made there (images have /etc/resolv.conf as a link into /run), and
// what must not be there is refused. Where it leads is inside of the root whatever it
// says, and the init stage looks it up again.
func (s *scene) aim(m *specs.Mount, root *os.File) error {
	if at, ok := within(s.rootPath(), m.Destination); ok { // runc takes the host's path of it, too
		m.Destination = at
	}
	for _, kernel := range []string{"/proc", "/sys", "/dev"} {
		if m.Destination == kernel || strings.HasPrefix(m.Destination, kernel+"/") {
			return ocispec.Destination(*m)
		}
	}
	m.Destination = fd.Follow(root, m.Destination)
	return ocispec.Destination(*m)
}

// inherit gives a tmpfs without a mode that of the directory that it covers.
func inherit(m *specs.Mount, o mountopt.Options, root *os.File) {
	hasMode := slices.ContainsFunc(o.Data, func(d string) bool { return strings.HasPrefix(d, "mode=") })
	if m.Type != "tmpfs" || hasMode {
		return
	}
	at, err := fd.InRoot(root, m.Destination, true)
	if err != nil { // it will be made
		return
	}
	defer at.Close()
	if info, err := at.Stat(); err == nil && info.IsDir() {
		m.Options = append(slices.Clone(m.Options), fmt.Sprintf("mode=%o", fd.Mode(info)))
	}
}

// tidy makes a /dev read-only once everything is in it, and drops what is masked twice.
func (s *scene) tidy() {
	for _, m := range s.spec.Mounts {
		if m.Destination == "/dev" && m.Type == "tmpfs" && slices.Contains(m.Options, "ro") {
			s.spec.Mounts = append(s.spec.Mounts, specs.Mount{Destination: "/dev", Type: initstage.Remount, Options: []string{"ro"}})
			break
		}
	}
	for _, list := range []*[]string{&s.spec.Linux.MaskedPaths, &s.spec.Linux.ReadonlyPaths} {
		seen := map[string]bool{}
		*list = slices.DeleteFunc(slices.Clone(*list), func(p string) bool {
			again := seen[path.Clean(p)]
			seen[path.Clean(p)] = true
			return again
		})
	}
}

// ownNull refuses a root file system that has something else in the place of the null
// device where that is not mounted over: masks are made of it (CVE-2025-31133).
func (s *scene) ownNull(root *os.File) error {
	const null = "/dev/null"
	if !slices.ContainsFunc(s.files.Nodes, func(n initstage.Node) bool { return n.Path == null }) {
		return nil
	}
	at, err := fd.InRoot(root, null, false)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer at.Close()
	if major, minor, err := fd.Device(fd.Path(at)); err != nil || major != 1 || minor != 3 {
		return fault.New(fault.Invalid, "rootfs: "+null+" is not the null device, and there is no /dev among the mounts")
	}
	return nil
}
