// Command shown prints how it was executed, for the test of Entry.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/sys/exe"
)

func main() {
	var st unix.Statfs_t
	err := unix.Statfs("/proc/self/exe", &st)
	name, _ := os.ReadFile("/proc/self/comm")
	slack, _ := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Printf("%q %q %v %v %s %d %d", os.Args[1:], os.Environ(), st.Flags&unix.ST_RDONLY != 0, err, strings.TrimSpace(string(name)), exe.Slack(), slack)
}
