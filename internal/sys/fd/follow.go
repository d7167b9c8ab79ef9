package fd

import (
	"os"
	"path"
	"strings"
)

// maxLinks is how many links the kernel follows in one path.
const maxLinks = 40

// Follow resolves the links of a path below root, as far as there are any: where it leads is
// inside of the root whatever it says, but for what is changed meanwhile.
func Follow(root *os.File, name string) string {
	done, rest := "/", strings.Split(strings.Trim(name, "/"), "/")
	for links := 0; len(rest) > 0 && links < maxLinks; {
		next := path.Join(done, rest[0])
		to, isLink := link(root, next)
		if !isLink {
			done, rest = next, rest[1:]
			continue
		}
		links++
		if path.IsAbs(to) {
			done = "/"
		}
		rest = append(strings.Split(strings.Trim(to, "/"), "/"), rest[1:]...)
	}
	return path.Join(append([]string{done}, rest...)...)
}

func link(root *os.File, name string) (to string, isLink bool) {
	at, err := InRoot(root, name, false)
	if err != nil {
		return "", false
	}
	defer at.Close()
	info, err := at.Stat()
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return "", false
	}
	to, err = ReadLink(at)
	return to, err == nil
}
