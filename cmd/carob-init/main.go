// Command carob-init is the first process of a container with --init under an OCI runtime:
// it is mounted into the container and executes the command that its arguments are. All of
// it is reaper.Entry, with which it must be linked.
package main

import _ "carob/internal/sys/reaper"

func main() { panic("carob-init: not linked with -E carob/internal/sys/reaper.Entry") }
