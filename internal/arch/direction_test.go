package arch

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestDirection holds every import of this module against the table of rooms.
func TestDirection(t *testing.T) {
	tree := source(t)
	var found []finding
	for dir, imports := range tree.Graph() {
		for _, to := range imports {
			if why := forbidden(dir, to); why != "" {
				found = append(found, finding{subject: dir + " → " + to, text: why})
			}
		}
	}
	report(t, "direction", slices.CompactFunc(found, func(a, b finding) bool { return a.subject == b.subject }))
}

func forbidden(from, to string) string {
	here, there := roomOf(from), roomOf(to)
	switch {
	case strings.HasPrefix(to, "cmd/") || strings.HasPrefix(to, "test/"):
		return "nobody imports it"
	case here == there || here == "" || there == "":
		return ""
	}
	r, known := findRoom(here)
	if !known {
		return fmt.Sprintf("%s is a new room: give it its place in internal/arch/rooms.go", here)
	}
	if !slices.Contains(r.may, there) {
		return fmt.Sprintf("%s may import %v", here, r.may)
	}
	return ""
}

// TestRoomsPointDown holds the table itself against the order it is written in.
func TestRoomsPointDown(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rooms {
		for _, to := range r.may {
			if !seen[to] {
				t.Errorf("%s may import %s, which stands below it", r.name, to)
			}
		}
		seen[r.name] = true
	}
}

// TestPureRoomsDoNoIO refuses packages that reach outside the process, directly or
// through other packages of this module. The facts in package host are a value
// that decisions are made from; who reads them is not followed.
func TestPureRoomsDoNoIO(t *testing.T) {
	effects := []string{"os", "os/exec", "os/signal", "net", "net/http", "syscall", "io/ioutil", "log", "log/slog", "testing"}
	tree := source(t)
	g := tree.Graph()
	delete(g, "internal/host")
	var found []finding
	for _, p := range tree.Packages {
		if !slices.Contains(pure, roomOf(p.Dir)) {
			continue
		}
		path := g.Path(p.Dir, func(to string) bool {
			return slices.Contains(effects, to) || strings.HasPrefix(to, "golang.org/x/sys") || strings.HasPrefix(to, "internal/sys/")
		})
		if path != nil {
			found = append(found, finding{subject: p.Dir, text: "does I/O through " + strings.Join(path, " → ")})
		}
	}
	report(t, "pure", found)
}

// TestOnlySysKnowsTheKernel keeps system calls behind internal/sys. Tests may use
// them; the toolbox is a program of its own that lives inside containers.
func TestOnlySysKnowsTheKernel(t *testing.T) {
	kernel := []string{"syscall", "golang.org/x/sys", "github.com/vishvananda/netlink", "github.com/google/nftables", "github.com/mdlayher/netlink"}
	var found []finding
	for _, p := range source(t).Packages {
		if room := roomOf(p.Dir); room == "sys" || room == "toolbox" || p.Dir == "cmd/carob-toolbox" || strings.HasPrefix(p.Dir, "test/") {
			continue
		}
		for _, im := range p.Imports() {
			for _, k := range kernel {
				if im == k || strings.HasPrefix(im, k+"/") {
					found = append(found, finding{subject: p.Dir + " → " + im, text: "system calls belong in internal/sys"})
				}
			}
		}
	}
	report(t, "kernel", slices.CompactFunc(found, func(a, b finding) bool { return a.subject == b.subject }))
}

// TestFanOut keeps a package from knowing half of the house.
func TestFanOut(t *testing.T) {
	const most = 12
	var found []finding
	for dir, imports := range source(t).Graph() {
		if roomOf(dir) == "pod" || strings.HasPrefix(dir, "cmd/") {
			continue
		}
		own := map[string]bool{}
		for _, to := range imports {
			if strings.HasPrefix(to, "internal/") {
				own[to] = true
			}
		}
		found = limit(found, dir, "packages of this module imported", len(own), most)
	}
	report(t, "fan-out", found)
}

// TestSupervisorDependencies keeps carob-pod small: one supervisor runs per pod,
// and what it links is paid for in memory by every pod. fmt, net and encoding/json
// alone double its private memory.
func TestSupervisorDependencies(t *testing.T) {
	g := linked(t, "cmd/carob-pod")
	allowed := []string{"cmd/carob-pod", "internal/podproc", "internal/sys", "internal/fault"}
	refused := []string{"fmt", "net", "encoding/json", "log", "log/slog", "os", "os/exec", "text/template", "regexp"}
	var found []finding
	add := func(to, why string) {
		path := g.Path(Module+"/cmd/carob-pod", func(p string) bool { return p == to })
		found = append(found, finding{subject: to, text: why + ": " + strings.Join(path, " → ")})
	}
	for dep := range g {
		first, _, _ := strings.Cut(dep, "/")
		own, mine := strings.CutPrefix(dep, Module+"/")
		switch {
		case mine && !slices.ContainsFunc(allowed, func(a string) bool { return own == a || strings.HasPrefix(own, a+"/") }):
			add(dep, "is not one of the supervisor's packages")
		case slices.Contains(refused, dep):
			add(dep, "costs every pod memory")
		case strings.Contains(first, ".") && !strings.HasPrefix(dep, "golang.org/x/sys/"):
			add(dep, "is not in the supervisor's closed list")
		}
	}
	report(t, "supervisor", found)
}

// TestCommandLineDependencies keeps what answers out of cmd/carob: a command is a process of
// a few milliseconds, and each package initialises itself before main.
func TestCommandLineDependencies(t *testing.T) {
	g := linked(t, "cmd/carob")
	own := []string{
		"api/server", "host", "image", "kube", "logfile", "look", "network", "pod", "podproc", "runtime", "store", "view", "volume",
	}
	const words = "image/registry/call"
	var found []finding
	for dep := range g {
		room, mine := strings.CutPrefix(dep, Module+"/internal/")
		answers := mine && room != words && slices.ContainsFunc(own, func(r string) bool { return room == r || strings.HasPrefix(room, r+"/") })
		if answers || dep == "net/http" || dep == "crypto/tls" {
			path := g.Path(Module+"/cmd/carob", func(p string) bool { return p == dep })
			found = append(found, finding{subject: dep, text: "costs every command: " + strings.Join(path, " → ")})
		}
	}
	report(t, "command line", found)
}

// linked is the whole import graph of a command as the go tool builds it for Linux,
// standard library included, by import path.
func linked(t *testing.T, command string) Graph {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./"+command)
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	g := Graph{}
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); len(words) > 0 {
			g[words[0]] = words[1:]
		}
	}
	return g
}
