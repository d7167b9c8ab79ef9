// Command carob-oci is an OCI runtime with runc's command line: containerd, Docker and
// podman call it where they would call runc.
package main

import (
	"os"
	"runtime"

	"carob/internal/ocicli"
	"carob/internal/sys/exe"
)

// version is set by the linker.
var version = "dev"

func main() {
	runtime.MemProfileRate = 0 // nobody will ask, and to keep one costs page faults
	os.Exit(ocicli.Run(version, os.Args[1:], ocicli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, exe.Protect))
}
