package show

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Sure shows a person a warning before what cannot be taken back is done, and whether to
// go on is the answer. No answer is no.
func Sure(in io.Reader, out io.Writer, warning string) bool {
	fmt.Fprint(out, warning, " Go on? [y/N] ")
	line, _ := bufio.NewReader(in).ReadString('\n')
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}
