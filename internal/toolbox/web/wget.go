package web

import (
	"cmp"
	"path"

	"carob/internal/toolbox/tool"
)

// Exit codes of wget(1).
const (
	wgetNetwork = 4
	wgetServer  = 8
)

// Fetch is wget with its commonest options: curl -fL into a file.
func Fetch(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(1, 1, "qSO:T:", "quiet=q", "output-document=O", "timeout=T")
	if err != nil {
		return 0, err
	}
	q := request{limit: tool.Forever, connectLimit: tool.Forever, network: "tcp", c: c, agent: "Wget (carob toolbox)", fail: true, follow: true, silent: o.Has('q'), verbose: o.Has('S')}
	if o.Has('T') {
		if err := setLimit(&q.limit, o['T']); err != nil {
			return 0, err
		}
	}
	u, err := parseURL(rest[0])
	if err == nil {
		name := path.Base(u.Path)
		if name == "." || name == "/" || name == ".." {
			name = "index.html"
		}
		q.output = cmp.Or(o['O'], name)
		err = q.get(rest[0])
	}
	f, ok := err.(failure)
	switch {
	case !ok:
		return 0, err
	case q.silent:
		err = nil
	default:
		err = errorText(f.text)
	}
	switch f.code {
	case curlHTTPStatus:
		return wgetServer, err
	case curlNoHost, curlNoConnect, curlTimeout, curlEmpty, curlReceive:
		return wgetNetwork, err
	}
	return tool.Failed, err
}

type errorText string

func (e errorText) Error() string { return string(e) }
