package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestMagicLinks: links of an image's that lead through the magic links of procfs lead to
// nothing: no directory, file or device is made outside (CVE-2026-41579, CVE-2026-55686).
// With the host's processes in sight any of them will do; without, those to the init stage's
// own descriptors did.
func TestMagicLinks(t *testing.T) {
	file := func(b *box, at string) {
		add(b, specs.Mount{Destination: at, Type: "bind", Source: filepath.Join(b.dir, "config.json"), Options: []string{"bind"}})
	}
	for name, c := range map[string]struct {
		link, end string // what the image has as a link, and what follows the directory outside
		set       func(b *box)
	}{
		"directory for a mount": {"data", "", func(b *box) {
			add(b, specs.Mount{Destination: "/data/made", Type: "tmpfs", Source: "tmpfs"})
		}},
		"file for a mount":           {"etc", "", func(b *box) { file(b, "/etc/made") }},
		"link to a file for a mount": {"etc/hosts", "/made", func(b *box) { file(b, "/etc/hosts") }},
		"devices": {"dev", "", func(b *box) {
			b.spec.Mounts = b.spec.Mounts[:1]
			b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/made", Type: "c", Major: 1, Minor: 3}}
		}},
		"working directory": {"data", "", func(b *box) { b.spec.Process.Cwd = "/data/made" }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.spec.Linux.Namespaces = without(b.spec.Linux.Namespaces, "pid")
			b.sh("true")
			c.set(b)
			b.write()
			outside := filepath.Join(b.dir, "outside")
			b.must(os.Mkdir(outside, 0o755))
			link(b, c.link, fmt.Sprintf("/proc/%d/root", os.Getpid())+outside+c.end)
			_, _ = b.try("run", b.id) // whether it is refused is not the question
			if left, _ := os.ReadDir(outside); len(left) > 0 {
				t.Errorf("made outside of the root: %v", left)
			}
		})
	}
}
