package arch

import "strings"

// A room is a package or a tree of packages and what it may import directly of
// this module. A room inside another one is none of the outer's packages. Read from top to
// bottom: an arrow never points up.
type room struct {
	name string
	may  []string
}

// pure rooms decide and do no I/O.
var pure = []string{"fault", "undo", "ref", "lifecycle", "spec", "status", "plan"}

// rooms are the directions of the house:
// cmd → {cli, cri, api, kube} → pod → {image, network, runtime, store} → sys → fault.
// A package in a room may import the room's other packages. Rooms of one level
// never import each other: the one that needs declares an interface, and main
// supplies what fits.
var rooms = []room{
	{"fault", nil},
	{"undo", nil},
	{"ref", []string{"fault"}},
	{"lifecycle", []string{"fault"}},
	{"spec", []string{"fault"}},
	{"status", []string{"fault", "lifecycle", "spec"}},
	{"host", []string{"fault"}},
	{"plan", []string{"fault", "ref", "spec", "status", "host"}},
	{"config", []string{"fault", "plan"}},
	{"sys", []string{"fault", "plan"}}, // plan: the edge applies what was decided
	{"archive", []string{"fault", "sys"}},
	{"criu", []string{"fault", "plan", "sys"}},
	{"logfile", []string{"fault", "sys"}},
	{"podproc", []string{"fault", "sys"}},
	{"store", []string{"fault", "sys", "undo"}},
	// What is said to those who speak with registries, for whoever has it done.
	{"image/registry/call", nil},
	{"image", []string{"image/registry/call", "fault", "ref", "sys", "undo", "status", "archive"}},
	{"volume", []string{"fault", "plan", "status", "sys"}},
	{"look", []string{"fault", "sys"}},
	{"view", []string{"fault", "look"}}, // shows what look observes, and nothing else
	{"cdi", []string{"fault", "spec", "plan"}},
	{"world", []string{"archive", "fault", "plan", "sys"}},
	{"ocirt", []string{"fault", "undo", "plan", "sys", "world", "criu"}},
	{"ocicli", []string{"fault", "plan", "sys", "ocirt"}},
	{"pod", []string{"fault", "undo", "ref", "lifecycle", "spec", "status", "plan", "host", "image", "logfile", "volume"}},
	// The engine declares what it needs of the machine in its own terms; handlers
	// are written against that contract, and the engine never sees them.
	{"network", []string{"fault", "spec", "status", "sys", "undo", "host", "plan", "pod"}},
	// What watches the engine's work stands between it and what it works with.
	{"telemetry", []string{"fault", "image", "pod", "status"}},
	{"groups", []string{"fault", "status", "sys"}},
	{"roots", []string{"fault", "status", "image", "sys"}},
	{"nri", []string{"fault", "lifecycle", "spec", "status", "plan", "pod"}},
	{"runtime", []string{"fault", "undo", "spec", "status", "plan", "host", "sys", "podproc", "logfile", "image", "pod", "roots", "world", "criu", "archive"}},
	{"checkpoint", []string{"fault", "status", "archive", "image", "pod"}},
	// The protocol: its words, its frames and who asks. Who answers knows the engine.
	{"api", []string{"fault", "spec", "status", "sys", "archive", "image/registry/call"}},
	{"api/server", []string{"api", "checkpoint", "fault", "spec", "status", "pod", "image", "image/registry/call", "sys", "logfile", "archive"}},
	{"kube", []string{"fault", "undo", "spec", "status", "lifecycle"}},
	// The CRI is what the kubelet has instead of api.
	{"cri", []string{"checkpoint", "archive", "undo", "fault", "lifecycle", "ref", "spec", "status", "host", "pod", "image", "sys"}},
	// The command line speaks to the daemon: api is its protocol. What looks at the
	// machine itself needs none.
	{"cli", []string{"fault", "lifecycle", "ref", "spec", "status", "sys", "logfile", "archive", "plan", "api", "look", "view"}},
	{"testenv", nil},
	{"systest", []string{"fault", "plan", "pod", "image", "spec", "status", "lifecycle", "volume"}},
	{"toolbox", nil},
	{"arch", nil},
}

// roomOf returns the innermost room of a package directory, "" for one outside internal.
func roomOf(dir string) string {
	rest, ok := strings.CutPrefix(dir, "internal/")
	if !ok {
		return ""
	}
	for name := rest; ; {
		if _, known := findRoom(name); known {
			return name
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return name
		}
		name = name[:i]
	}
}

func findRoom(name string) (room, bool) {
	for _, r := range rooms {
		if r.name == name {
			return r, true
		}
	}
	return room{}, false
}
