// Package look observes what containers and pods really are: processes, their
// namespaces and cgroups, who runs them, and what keeps a namespace alive. It works
// on every process of the host, whoever started it, and needs no daemon.
//
// It reads /proc below a root, the nsfs ioctls when that root is the real one, and, for
// names only, what engines leave in their run directories; it writes nothing. What it
// says was true of each process at the moment that process was read: there is no lock
// over a host. A process that ends meanwhile is left out. What may not be read is
// listed in Host.Unread and never guessed.
//
// Text that a process chose (its name, arguments, a hostname) is kept as it is; whoever
// prints it must make it harmless.
package look

import (
	"encoding/json"
	"strconv"
	"strings"

	"carob/internal/fault"
)

// Kind is a kind of namespace.
type Kind int

// The kinds, in the order they are shown.
const (
	Mnt Kind = iota
	UTS
	IPC
	PID
	Net
	User
	Cgroup
	Time
	// NumKinds is how many there are.
	NumKinds
)

// Kinds are all kinds in the order they are shown.
func Kinds() []Kind { return []Kind{Mnt, UTS, IPC, PID, Net, User, Cgroup, Time} }

// String is the kind's name in /proc/PID/ns.
func (k Kind) String() string {
	switch k {
	case Mnt:
		return "mnt"
	case UTS:
		return "uts"
	case IPC:
		return "ipc"
	case PID:
		return "pid"
	case Net:
		return "net"
	case User:
		return "user"
	case Cgroup:
		return "cgroup"
	case Time:
		return "time"
	}
	return "ns" + strconv.Itoa(int(k))
}

// MarshalText is String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func kindOf(word string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.String() == word {
			return k, true
		}
	}
	return 0, false
}

// Namespace is one namespace: its kind and its inode in nsfs. Two processes are in
// the same one exactly when both are equal.
type Namespace struct {
	Kind  Kind   `json:"kind"`
	Inode uint64 `json:"inode"`
}

// String is how the kernel writes it: "net:[4026531833]".
func (n Namespace) String() string {
	return n.Kind.String() + ":[" + strconv.FormatUint(n.Inode, 10) + "]"
}

// ParseNamespace reads a namespace as links in /proc/PID/ns and mounts of nsfs name
// it.
func ParseNamespace(s string) (Namespace, error) {
	word, number, found := strings.Cut(s, ":[")
	number, closed := strings.CutSuffix(number, "]")
	inode, err := strconv.ParseUint(number, 10, 64)
	k, known := kindOf(word)
	if !found || !closed || !known || err != nil || inode == 0 {
		return Namespace{}, fault.New(fault.Invalid, strconv.Quote(s)+": is not a namespace")
	}
	return Namespace{k, inode}, nil
}

// NS are the inodes of a process's namespaces by kind, 0 where the kernel has no such
// kind or it could not be read.
type NS [NumKinds]uint64

// MarshalJSON writes an object: kind to inode, without what is not known.
func (n NS) MarshalJSON() ([]byte, error) {
	m := map[string]uint64{}
	for _, k := range Kinds() {
		if n[k] != 0 {
			m[k.String()] = n[k]
		}
	}
	return json.Marshal(m)
}

// Known reports whether anything could be read.
func (n NS) Known() bool { return n != NS{} }
