// Command carob-oci is an OCI runtime with runc's command line: containerd, Docker and
// podman call it where they would call runc.
package main

import (
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/ocicli"
	"carob/internal/ocirt"
	"carob/internal/sys/exe"
	"carob/internal/sys/resctrl"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(ocicli.Run(ocicli.Program{
		Version: version, In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Protect: exe.Protect, Resctrl: group,
	}, os.Args[1:]))
}

func group(rdt *specs.LinuxIntelRdt, id string) (ocirt.Shares, error) {
	fsys, err := resctrl.Find()
	if err != nil {
		return nil, err
	}
	return resctrl.Of(fsys, rdt, id), nil
}
