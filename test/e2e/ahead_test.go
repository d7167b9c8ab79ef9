package e2e

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestConnectedAhead: the next pod's link is made with its sandbox, is nobody's until there
// is such a pod, and connects it as any other.
func TestConnectedAhead(t *testing.T) {
	l := newLab(t)
	parent := []string{"--cgroup-parent", ""} // on cgroup v2 a sandbox that is made ahead begins below the default one
	one := l.container("one", parent...)
	l.echo(l.pid(one), 80)
	links := func() (names []string) {
		for line := range strings.Lines(l.inside(l.here, "ip -o link show type veth")) {
			if name, _, _ := strings.Cut(strings.Fields(line)[1], "@"); name != "up0" {
				names = append(names, name)
			}
		}
		return names
	}
	l.eventually("a link is made ahead", func() bool { return len(links()) == 2 })
	shown := l.ok("network", "inspect", "default")
	made := slices.DeleteFunc(links(), func(name string) bool { return strings.Contains(shown, name) })
	if len(made) != 1 || strings.Count(shown, `"pod":`) != 1 {
		t.Fatalf("of the links %v those made ahead are %v; shown is\n%s", links(), made, shown)
	}
	if listed := l.ok("network", "ls"); strings.Contains(listed, made[0]) {
		t.Errorf("network ls:\n%s", listed)
	}
	two := l.container("two", append(parent, "-p", "8080:80")...)
	if shown := l.ok("network", "inspect", "default"); !strings.Contains(shown, made[0]) {
		t.Errorf("%s was made ahead, shown is\n%s", made[0], shown)
	}
	l.echo(l.pid(two), 80)
	for _, pair := range [][2]string{{one, two}, {two, one}} {
		v4, v6 := l.ips("default", pair[0])
		own4, own6 := l.ips("default", pair[1])
		l.wantFrom(pair[1], l.pid(pair[1]), at(v4, 80), own4)
		l.wantFrom(pair[1], l.pid(pair[1]), at(v6, 80), own6)
	}
	l.wantFrom("outside", l.outside, at(here4, 8080), outside4)
	l.wantFrom("the host by localhost", l.here, "127.0.0.1:8080", "*")
	l.ok("rm", "-f", one, two)
	l.stop(syscall.SIGTERM)
	l.asItWas()
}
