// Command carob-toolbox is the whole content of the image carob.local/toolbox: see
// package toolbox. "carob-toolbox --help" lists its tools, "carob-toolbox --rootfs"
// writes the image's root filesystem as a tar. A tool does not look for the CPU limit of
// its cgroup: that takes Go a tenth of the start.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"

	"carob/internal/toolbox"
	"carob/internal/toolbox/early"
)

func main() { os.Exit(toolbox.Main(os.Args, early.Asked)) }
