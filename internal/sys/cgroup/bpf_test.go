package cgroup

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	plan "carob/internal/plan/cgroup"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestDeviceProgramOnUnified loads real programs into the kernel's verifier on
// any host that has a v2 hierarchy, also one without v2 controllers.
func TestDeviceProgramOnUnified(t *testing.T) {
	_, root := host(t)
	var dir string
	for _, d := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(d + "/cgroup.controllers"); err == nil {
			dir = d + root + "-bpf"
			break
		}
	}
	if dir == "" {
		t.Skip("no v2 hierarchy on this host")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	var loaded programs
	for _, oci := range [][]specs.LinuxDeviceCgroup{
		dockerLike().Devices,
		dockerLike().Devices, // the same again
		{{Allow: true, Type: "a"}, {Type: "c", Major: ptr(int64(1)), Access: "w"}},
		nil,
	} {
		rules, err := plan.DeviceRules(oci)
		if err != nil {
			t.Fatal(err)
		}
		code, err := plan.DeviceProgram(rules)
		if err != nil {
			t.Fatal(err)
		}
		if err := loaded.replace(dir, code); err != nil {
			t.Fatal(err)
		}
		fd, err := open(dir, unix.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := devicePrograms(fd)
		unix.Close(fd)
		if err != nil || len(ids) != 1 {
			t.Errorf("programs %v, %v", ids, err)
		}
	}
}
