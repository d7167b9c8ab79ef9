// Command shown prints how it was executed, for the tests of Entry and, with an argument
// "protect", of Protect.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/sys/exe"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "protect" {
		if err := exe.Protect(); err != nil {
			fmt.Print(err)
			return
		}
	}
	var st unix.Statfs_t
	err := unix.Statfs("/proc/self/exe", &st)
	name, _ := os.ReadFile("/proc/self/comm")
	fmt.Printf("%q %q %v %v %s", os.Args[1:], os.Environ(), st.Flags&unix.ST_RDONLY != 0, err, strings.TrimSpace(string(name)))
}
