// Command carob-toolbox is the whole content of the image carob.local/toolbox: see
// package toolbox. "carob-toolbox --help" lists its tools, "carob-toolbox --rootfs"
// writes the image's root filesystem as a tar.
package main

import (
	"os"

	"carob/internal/toolbox"
	"carob/internal/toolbox/early"
)

func main() { os.Exit(toolbox.Main(os.Args, early.Asked)) }
