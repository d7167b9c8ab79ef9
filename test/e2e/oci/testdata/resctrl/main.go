// Command resctrl is carob-oci on a machine whose resctrl file system is a directory, which
// the environment names: no processor that has one was at hand.
package main

import (
	"errors"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/ocicli"
	"carob/internal/ocirt"
	"carob/internal/sys/exe"
	"carob/internal/sys/resctrl"
)

func main() {
	os.Exit(ocicli.Run(ocicli.Program{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Protect: exe.Protect, Resctrl: group}, os.Args[1:]))
}

func group(rdt *specs.LinuxIntelRdt, id string) (ocirt.Shares, error) {
	return resctrl.Of(resctrl.FS{Root: os.Getenv("RESCTRL"), Mkdir: mkdir, Rmdir: os.RemoveAll}, rdt, id), nil
}

// mkdir fills a group as the kernel does.
func mkdir(dir string) error {
	return errors.Join(os.MkdirAll(filepath.Join(dir, "mon_groups"), 0o755),
		os.WriteFile(filepath.Join(dir, "schemata"), nil, 0o644), os.WriteFile(filepath.Join(dir, "tasks"), nil, 0o644))
}
