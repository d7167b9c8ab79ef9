package look

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"carob/internal/fault"
)

// Process is one process as it was when it was read.
type Process struct {
	PID  int `json:"pid"`
	PPID int `json:"ppid"`
	// Start is the time of its start in clock ticks since the machine's: with the PID
	// it names the process for good.
	Start uint64 `json:"start"`
	// Comm is the kernel's short name; Args are empty for a kernel thread.
	Comm  string   `json:"comm"`
	Args  []string `json:"args,omitempty"`
	State string   `json:"state"`
	// UID and GID are the effective ones, as the reader's user namespace has them.
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
	// NSpid is its number in each pid namespace, from the reader's inwards.
	NSpid   []int  `json:"nspid,omitempty"`
	Threads int    `json:"threads"`
	RSS     uint64 `json:"rss"` // bytes
	// Capability sets, one bit per capability.
	Caps Caps `json:"caps"`
	// Seccomp is 0 for none, 1 strict, 2 filter.
	Seccomp    int  `json:"seccomp"`
	Filters    int  `json:"seccompFilters,omitempty"`
	NoNewPrivs bool `json:"noNewPrivs"`
	NS         NS   `json:"ns"`
	// Cgroups are its places in each hierarchy, as the reader's cgroup namespace names
	// them.
	Cgroups []Place `json:"cgroups,omitempty"`
	// Role is what a runtime's own process is: "containerd-shim", "carob-pod"…
	Role string `json:"role,omitempty"`
	// Kernel is true for a thread of the kernel.
	Kernel bool `json:"kernel,omitempty"`
}

// Caps are a process's capability sets (capabilities(7)), one bit per capability.
type Caps struct {
	Inheritable uint64 `json:"inheritable"`
	Permitted   uint64 `json:"permitted"`
	Effective   uint64 `json:"effective"`
	Bounding    uint64 `json:"bounding"`
	Ambient     uint64 `json:"ambient"`
}

// Command is the command line in one string, or the short name in brackets when
// there is none, as ps writes it.
func (p *Process) Command() string {
	if len(p.Args) == 0 {
		return "[" + p.Comm + "]"
	}
	return strings.Join(p.Args, " ")
}

// Place is a process's cgroup in one hierarchy: a line of /proc/PID/cgroup
// (cgroups(7)).
type Place struct {
	// Hierarchy is 0 for cgroup v2.
	Hierarchy int `json:"hierarchy"`
	// Controllers are those of a v1 hierarchy; a named one has "name=…".
	Controllers []string `json:"controllers,omitempty"`
	Path        string   `json:"path"`
}

// Map is a line of /proc/PID/uid_map: Size ids from Inside on are those from Outside
// on (user_namespaces(7)).
type Map struct {
	Inside  uint32 `json:"inside"`
	Outside uint32 `json:"outside"`
	Size    uint32 `json:"size"`
}

// text is all of r; a buffer's bytes are not copied. At most 4 MB are taken.
func text(r io.Reader) ([]byte, error) {
	if b, ok := r.(*bytes.Buffer); ok {
		return b.Bytes(), nil
	}
	return io.ReadAll(io.LimitReader(r, 4<<20))
}

// ParseStatus reads /proc/PID/status (proc_pid_status(5)) into p. Fields that are
// missing stay as they are; a file without a name and a parent is Invalid.
func ParseStatus(r io.Reader, p *Process) error {
	all, err := text(r)
	if err != nil {
		return err
	}
	seen := 0
	for line := range bytes.Lines(all) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		switch string(key) {
		case "Name":
			p.Comm = string(value)
			seen++
		case "PPid":
			p.PPID = number(value)
			seen++
		default:
			p.field(string(key), value)
		}
	}
	if seen != 2 {
		return fault.New(fault.Invalid, "status: has no name and parent")
	}
	return nil
}

func (p *Process) field(key string, value []byte) {
	switch key {
	case "State":
		p.State = string(first(value))
	case "Uid":
		p.UID = uint32(column(value, 1))
	case "Gid":
		p.GID = uint32(column(value, 1))
	case "NSpid":
		p.NSpid = nil
		for f := range bytes.FieldsSeq(value) {
			p.NSpid = append(p.NSpid, number(f))
		}
	case "Threads":
		p.Threads = number(value)
	case "VmRSS":
		p.RSS = uint64(number(first(value))) << 10
	case "Seccomp":
		p.Seccomp = number(value)
	case "Seccomp_filters":
		p.Filters = number(value)
	case "NoNewPrivs":
		p.NoNewPrivs = number(value) == 1
	default:
		p.Caps.field(key, value)
	}
}

func (c *Caps) field(key string, value []byte) {
	var set *uint64
	switch key {
	case "CapInh":
		set = &c.Inheritable
	case "CapPrm":
		set = &c.Permitted
	case "CapEff":
		set = &c.Effective
	case "CapBnd":
		set = &c.Bounding
	case "CapAmb":
		set = &c.Ambient
	default:
		return
	}
	*set, _ = strconv.ParseUint(string(value), 16, 64) // not a number: no capability is claimed
}

func first(b []byte) []byte {
	for f := range bytes.FieldsSeq(b) {
		return f
	}
	return nil
}

func column(b []byte, n int) int {
	for f := range bytes.FieldsSeq(b) {
		if n == 0 {
			return number(f)
		}
		n--
	}
	return 0
}

// number is a decimal number that fits 32 bits unsigned, else 0.
func number(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<32/10 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// ParseStart reads the time of start from /proc/PID/stat (field 22, proc_pid_stat(5)).
// The name in field 2 may hold anything, parentheses too: what counts is behind the
// last one.
func ParseStart(r io.Reader) (uint64, error) {
	all, err := text(r)
	if err != nil {
		return 0, err
	}
	rest := all[bytes.LastIndexByte(all, ')')+1:]
	n := 3
	for f := range bytes.FieldsSeq(rest) {
		if n == 22 {
			start, err := strconv.ParseUint(string(f), 10, 64)
			return start, fault.Wrap(fault.Invalid, "stat: field 22", err)
		}
		n++
	}
	return 0, fault.New(fault.Invalid, "stat: is too short")
}

// ParseArgs reads /proc/PID/cmdline. A process may have overwritten it with one text
// in which spaces stand between words (setproctitle).
func ParseArgs(r io.Reader) ([]string, error) {
	all, err := text(r)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	words := strings.TrimRight(string(all), "\x00 ")
	if words == "" {
		return nil, nil
	}
	return strings.Split(words, "\x00"), nil
}

// ParsePlaces reads /proc/PID/cgroup. Lines that are none are left out.
func ParsePlaces(r io.Reader) ([]Place, error) {
	all, err := text(r)
	if err != nil {
		return nil, err
	}
	places := make([]Place, 0, bytes.Count(all, []byte("\n")))
	for line := range strings.Lines(string(all)) {
		id, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		names, path, also := strings.Cut(rest, ":")
		n, err := strconv.Atoi(id)
		if !ok || !also || err != nil || n < 0 || !strings.HasPrefix(path, "/") {
			continue
		}
		p := Place{Hierarchy: n, Path: path}
		if names != "" {
			p.Controllers = strings.Split(names, ",")
		}
		places = append(places, p)
	}
	return places, nil
}

// ParseMaps reads /proc/PID/uid_map or gid_map.
func ParseMaps(r io.Reader) ([]Map, error) {
	all, err := text(r)
	if err != nil {
		return nil, err
	}
	var maps []Map
	for line := range bytes.Lines(all) {
		var m Map
		if _, err := fmt.Sscan(string(line), &m.Inside, &m.Outside, &m.Size); err != nil {
			return maps, fault.Wrap(fault.Invalid, "map "+strconv.Quote(strings.TrimSpace(string(line))), err)
		}
		maps = append(maps, m)
	}
	return maps, nil
}
