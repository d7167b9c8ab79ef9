package e2e

import (
	"strings"
	"testing"
)

// TestFiltersOfLists asks for containers and networks as Docker's users do.
func TestFiltersOfLists(t *testing.T) {
	h := start(t)
	network, volume := h.name("net"), h.name("vol")
	h.ok("network", "create", "--label", "who=filters", network)
	t.Cleanup(func() { h.run("network", "rm", network) })
	t.Cleanup(func() { h.run("volume", "rm", volume) })
	first := h.container("first", "--network", network)
	second := h.container("second", "-v", volume+":/data")
	for filter, want := range map[string]string{
		"network=" + network: first, "volume=" + volume: second, "volume=/data": second,
		"before=" + second: first, "since=" + first: second,
	} {
		if out := h.ok("ps", "--filter", filter, "--filter", "name=testfiltersoflists", "--format", "{{.Names}}"); out != want {
			t.Errorf("%s: %q, want %s", filter, out, want)
		}
	}
	if out := h.ok("network", "ls", "-q", "--filter", "label=who=filters", "--filter", "dangling=false"); out != network {
		t.Errorf("networks: %q", out)
	}
	if r := h.code(1, "ps", "--filter", "since=nobody"); !strings.Contains(r.err, "nobody") {
		t.Errorf("since nobody: %s", r.err)
	}
	if r := h.code(1, "ps", "--filter", "health=healthy"); !strings.Contains(r.err, "health=healthy") {
		t.Errorf("health: %s", r.err)
	}
}
