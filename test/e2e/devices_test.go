package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// nodes are device nodes of the host that containers or runtimes meet.
var nodes = [...]string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"}

// owners tells owner and mode of the host's device nodes.
func owners(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, n := range nodes {
		st, err := os.Stat(n)
		if err != nil {
			t.Fatal(err)
		}
		sys := st.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %d:%d %v\n", n, sys.Uid, sys.Gid, st.Mode())
	}
	return b.String()
}

// TestHostDevicesStayTheHosts: whoever runs as whom, with whichever of the host's device
// nodes mounted or given, they keep their owner and mode. A container's streams are given to its
// user, so that what is at 0, 1 and 2 must never be a node of the host.
func TestHostDevicesStayTheHosts(t *testing.T) {
	before := owners(t)
	t.Cleanup(func() { // whoever comes next does not find what failed here
		if owners(t) != before {
			_ = os.Chown(os.DevNull, 0, 0)
		}
	})
	all := func(h *host, handler ...string) {
		for name, flags := range map[string][]string{
			"own user namespace":  {"--user", "1000"},
			"host user namespace": {"--userns", "host", "--user", "1000:1000"},
			"nodes mounted":       {"--userns", "host", "--user", "1000", "-v", "/dev/null:/dev/null", "-v", "/dev/tty:/dev/tty"},
			"all of /dev":         {"--userns", "host", "--user", "1000", "-v", "/dev:/dev"},
			"nodes given":         {"--userns", "host", "--user", "1000", "--device", "/dev/zero:/dev/null2"},
			"terminal":            {"--userns", "host", "--user", "1000", "-t"},
			"with input":          {"--user", "1000", "-i"},
		} {
			if name == "nodes given" && slices.Contains(handler, "runsc") {
				continue // gVisor has none of the host's
			}
			c := h.name("owner")
			args := append(append([]string{"run", "-d", "--name", c}, handler...), flags...)
			r := h.run(append(args, image, "sleep", "1000")...)
			if now := owners(t); now != before {
				h.Fatalf("%s %v: the host's nodes were\n%sand are\n%s", name, handler, before, now)
			}
			if r.code != 0 {
				h.Errorf("%s %v: %s", name, handler, r.err)
				continue
			}
			if r := h.run("exec", "-u", "1001", c, "true"); r.code != 0 {
				h.Errorf("%s %v: exec: %s", name, handler, r.err)
			}
			h.ok("rm", "-f", c)
			if now := owners(t); now != before {
				h.Fatalf("%s %v: after an exec the host's nodes were\n%sand are\n%s", name, handler, before, now)
			}
		}
	}
	t.Run("native", func(t *testing.T) { all(start(t)) })
	underEach(t, func(h *host, runtime string) { all(h, "--runtime", runtime) })
}
