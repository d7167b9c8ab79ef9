package spec

import (
	"strings"

	"carob/internal/fault"
)

// Mode says where one namespace of a sandbox or container comes from: one of the
// constants below or "container:NAME".
type Mode string

// The modes. The zero Mode is the default of its kind and place.
const (
	// Own is a fresh namespace (Docker's "private", CRI's CONTAINER).
	Own Mode = "own"
	// OfPod is the sandbox's namespace (CRI's POD).
	OfPod Mode = "pod"
	// Host is the host's namespace (CRI's NODE).
	Host Mode = "host"
	// None, for net, is a fresh namespace that is never connected; for ipc, a fresh
	// one without /dev/shm.
	None Mode = "none"
)

// containerPrefix starts the mode that joins another container's namespace.
const containerPrefix = "container:"

// OfContainer is the mode that joins the namespace of the container with this
// name or ID (Docker's container:NAME, CRI's TARGET).
func OfContainer(name string) Mode { return Mode(containerPrefix + name) }

// Container returns the name after "container:", and whether there was one.
func (m Mode) Container() (string, bool) {
	return strings.CutPrefix(string(m), containerPrefix)
}

// Or returns m, or def when m is the zero Mode.
func (m Mode) Or(def Mode) Mode {
	if m == "" {
		return def
	}
	return m
}

// Namespaces says, kind by kind, where a sandbox's or a container's namespaces
// come from. The mount namespace is not a choice: each container has its own.
//
// Zero values of a sandbox: Net, IPC, UTS are Own; PID is Own per container (Pod
// shares one among the pod's containers, Kubernetes' shareProcessNamespace); User
// is Own, unless another kind is Host or belongs to a container, in which case it
// follows that; Cgroup is Own per container.
//
// Zero values of a container: Net, IPC, UTS, User are Pod; PID is what the sandbox
// says for its containers; Cgroup is Own.
type Namespaces struct {
	Net    Mode `json:"net,omitempty"`
	IPC    Mode `json:"ipc,omitempty"`
	UTS    Mode `json:"uts,omitempty"`
	PID    Mode `json:"pid,omitempty"`
	User   Mode `json:"user,omitempty"`
	Cgroup Mode `json:"cgroup,omitempty"`
}

// Kinds lists the namespace kinds a mode can be chosen for, in the order in which
// they are shown; the names are those of /proc/PID/ns.
func Kinds() []string { return []string{"net", "ipc", "uts", "pid", "user", "cgroup"} }

// Mode returns the mode of a kind named as in /proc/PID/ns.
func (n Namespaces) Mode(kind string) Mode {
	if p := n.at(kind); p != nil {
		return *p
	}
	return ""
}

// With returns n with the mode of one kind set; an unknown kind changes nothing.
func (n Namespaces) With(kind string, m Mode) Namespaces {
	if p := n.at(kind); p != nil {
		*p = m
	}
	return n
}

func (n *Namespaces) at(kind string) *Mode {
	switch kind {
	case "net":
		return &n.Net
	case "ipc":
		return &n.IPC
	case "uts":
		return &n.UTS
	case "pid":
		return &n.PID
	case "user":
		return &n.User
	case "cgroup":
		return &n.Cgroup
	}
	return nil
}

// ParseMode reads a mode as it is written on a command line: own, private,
// shareable (all Own), pod, host, none, container:NAME. The kind names the flag
// in the error; "none" is refused for kinds other than net and ipc.
func ParseMode(kind, s string) (Mode, error) {
	switch s {
	case "":
		return "", nil
	case "own", "private", "shareable":
		return Own, nil
	case "pod", "host":
		return Mode(s), nil
	case "none":
		if kind == "net" || kind == "ipc" {
			return None, nil
		}
	default:
		if name, ok := Mode(s).Container(); ok && name != "" {
			return Mode(s), nil
		}
	}
	return "", fault.New(fault.Invalid, kind+" namespace: unknown mode \""+s+"\" (private, host, pod, container:NAME)")
}
