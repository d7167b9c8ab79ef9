package toolbox

import (
	"strings"

	"github.com/u-root/u-root/pkg/core"
	"github.com/u-root/u-root/pkg/core/base64"
	"github.com/u-root/u-root/pkg/core/cat"
	"github.com/u-root/u-root/pkg/core/chmod"
	"github.com/u-root/u-root/pkg/core/cp"
	"github.com/u-root/u-root/pkg/core/find"
	"github.com/u-root/u-root/pkg/core/ls"
	"github.com/u-root/u-root/pkg/core/mkdir"
	"github.com/u-root/u-root/pkg/core/mktemp"
	"github.com/u-root/u-root/pkg/core/mv"
	"github.com/u-root/u-root/pkg/core/rm"
	"github.com/u-root/u-root/pkg/core/touch"
	"github.com/u-root/u-root/pkg/core/xargs"
)

// coreTools are those that u-root keeps.
func coreTools() []applet {
	return []applet{
		{"base64", from(base64.New)}, {"cat", from(cat.New)}, {"chmod", from(chmod.New)}, {"cp", copyTool},
		{"find", findTool}, {"ls", lsTool}, {"mkdir", from(mkdir.New)}, {"mktemp", from(mktemp.New)},
		{"mv", from(mv.New)}, {"rm", from(rm.New)}, {"touch", from(touch.New)}, {"xargs", from(xargs.New)},
	}
}

func from(make func() core.Command) tool {
	return func(c *call) (int, error) {
		cmd := make()
		cmd.SetIO(c.stdin, c.stdout, c.stderr)
		return 0, cmd.Run(c.args...)
	}
}

// lsTool drops the options that change nothing here: output is one name per line
// and never coloured.
func lsTool(c *call) (int, error) {
	c.args = withoutLetters(c.args, "1AC")
	return from(ls.New)(c)
}

// copyTool knows -a and -p as far as the library can: recursive, links kept.
func copyTool(c *call) (int, error) {
	for i, a := range c.args {
		if len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.Contains(a, "a") {
			c.args[i] = strings.ReplaceAll(a, "a", "rP")
		}
	}
	c.args = withoutLetters(c.args, "pd")
	return from(cp.New)(c)
}

// withoutLetters takes letters out of the leading short options.
func withoutLetters(args []string, letters string) []string {
	var kept []string
	for i, a := range args {
		if len(a) < 2 || a[0] != '-' || a[1] == '-' {
			return append(kept, args[i:]...)
		}
		a = strings.Map(func(r rune) rune {
			if strings.ContainsRune(letters, r) {
				return -1
			}
			return r
		}, a)
		if a != "-" {
			kept = append(kept, a)
		}
	}
	return kept
}

// findTool moves the directory behind the tests, where the library wants it.
func findTool(c *call) (int, error) {
	n := 0
	for n < len(c.args) && !strings.HasPrefix(c.args[n], "-") {
		n++
	}
	dirs := c.args[:n]
	if len(dirs) == 0 {
		dirs = []string{"."}
	}
	for _, dir := range dirs {
		cmd := find.New()
		cmd.SetIO(c.stdin, c.stdout, c.stderr)
		args := []string{}
		for _, a := range c.args[n:] {
			if a != "-print" {
				args = append(args, a)
			}
		}
		if err := cmd.Run(append(args, dir)...); err != nil {
			return 0, err
		}
	}
	return 0, nil
}
