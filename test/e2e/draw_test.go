package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// drawnNamespace is the title of an outline: namespaces, a colon, who is in them.
var drawnNamespace = regexp.MustCompile(`<path [^>]*><title>([^<]*?\]): ([^<.]*)`)

// TestDraw draws the article's pod and holds every outline against /proc.
func TestDraw(t *testing.T) {
	h := start(t)
	name, app, sidecar := h.pod("drawn", "")
	svg := h.ok("look", "draw", name, "-o", "svg")
	in := map[string]string{} // namespace to who is in it
	for _, m := range drawnNamespace.FindAllStringSubmatch(svg, -1) {
		for _, ns := range strings.Split(m[1], ", ") {
			in[ns] = ", " + m[2] + ","
		}
	}
	for _, kind := range []string{"mnt", "uts", "ipc", "pid", "net", "user", "cgroup"} {
		a, s := h.ns(app, kind), h.ns(sidecar, kind)
		if !strings.Contains(in[a], ", app,") || !strings.Contains(in[s], ", sidecar,") {
			t.Errorf("%s: app is in %s, sidecar in %s; drawn are %q and %q", kind, a, s, in[a], in[s])
		}
		if drawn := strings.Contains(in[a], ", sidecar,"); drawn != (a == s) {
			t.Errorf("%s: app is in %s, sidecar in %s; drawn as shared: %v", kind, a, s, drawn)
		}
	}
	text := h.ok("look", "draw", name, "-o", "text", "--width", "160")
	for _, want := range []string{" of 256MiB", " of 128MiB", " of 384MiB", fmt.Sprint(app, " httpd"), fmt.Sprint(sidecar, " sleep"), "pod · carob"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
