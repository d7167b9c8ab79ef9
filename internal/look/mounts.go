package look

import (
	"bytes"
	"io"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/sys/procfs"
)

// Mount is a line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	ID     int    `json:"id"`
	Parent int    `json:"parent"`
	Device string `json:"device"` // major:minor
	// Root is what of the file system is mounted, Point where.
	Root  string `json:"root"`
	Point string `json:"point"`
	// Options are the mount's own, Super those of its file system.
	Options []string `json:"options"`
	// Optional are tags as "shared:1", "master:2".
	Optional []string `json:"optional,omitempty"`
	Type     string   `json:"type"`
	Source   string   `json:"source"`
	Super    []string `json:"super"`
}

// ParseMounts reads /proc/PID/mountinfo. A line that is none is Invalid, with those
// before it.
func ParseMounts(r io.Reader) ([]Mount, error) {
	all, err := text(r)
	if err != nil {
		return nil, err
	}
	var mounts []Mount
	for line := range strings.Lines(string(all)) {
		m, ok := parseMount(line)
		if !ok {
			return mounts, fault.New(fault.Invalid, "mountinfo: "+strconv.Quote(line)+": is no mount")
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

func parseMount(line string) (m Mount, ok bool) {
	front, back, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
	f, b := strings.Split(front, " "), strings.SplitN(back, " ", 3)
	if !ok || len(f) < 6 || len(b) < 3 {
		return m, false
	}
	id, err := strconv.Atoi(f[0])
	parent, also := strconv.Atoi(f[1])
	if err != nil || also != nil {
		return m, false
	}
	return Mount{
		ID: id, Parent: parent, Device: f[2], Root: unescape(f[3]), Point: unescape(f[4]), Options: strings.Split(f[5], ","),
		Optional: f[6:], Type: b[0], Source: unescape(b[1]), Super: strings.Split(b[2], ","),
	}, true
}

// unescape undoes the kernel's \040 for space, tab, newline and backslash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Mounts reads the mounts that a process sees. Kinds: NotFound when it has ended,
// Denied.
func (h *Host) Mounts(pid int) ([]Mount, error) {
	var b bytes.Buffer
	if err := h.file(pid, "mountinfo", &b); err != nil {
		return nil, err
	}
	return ParseMounts(&b)
}

// Maps reads how a process's user namespace maps users and groups to the reader's.
func (h *Host) Maps(pid int) (users, groups []Map, err error) {
	var b bytes.Buffer
	if err = h.file(pid, "uid_map", &b); err == nil {
		users, err = ParseMaps(&b)
	}
	if err != nil {
		return nil, nil, err
	}
	if err = h.file(pid, "gid_map", &b); err == nil {
		groups, err = ParseMaps(&b)
	}
	return users, groups, err
}

// Label is the security label that a Linux security module gave a process, without
// the newline; "" when no module gives any.
func (h *Host) Label(pid int) (string, error) {
	var b bytes.Buffer
	err := h.file(pid, "attr/current", &b)
	if err != nil && !fault.Is(err, fault.Denied) {
		return "", nil // EINVAL: no module answers
	}
	return strings.TrimRight(b.String(), "\x00\n"), err
}

// Link reads a link of a process: root, cwd, exe, fd/N.
func (h *Host) Link(pid int, name string) (string, error) {
	dir, err := procfs.Open(h.Path("proc", strconv.Itoa(pid)))
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return dir.Link(name)
}

// file reads a file of a process, provided that it is still the one that was seen.
func (h *Host) file(pid int, name string, b *bytes.Buffer) error {
	dir, err := procfs.Open(h.Path("proc", strconv.Itoa(pid)))
	if err != nil {
		return err
	}
	defer dir.Close()
	if p := h.Process(pid); p != nil && p.Start != 0 {
		if err := dir.Read("stat", b); err != nil {
			return err
		}
		if start, err := ParseStart(b); err != nil || start != p.Start {
			return fault.New(fault.NotFound, procFile(pid, name)+": the process has ended")
		}
	}
	return dir.Read(name, b)
}
