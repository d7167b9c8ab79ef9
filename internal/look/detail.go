package look

import (
	"bytes"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/look/mounts"
	"carob/internal/sys/procfs"
)

// Mounts reads the mounts that a process sees. Kinds: NotFound when it has ended,
// Denied.
func (h *Host) Mounts(pid int) ([]mounts.Mount, error) {
	var b bytes.Buffer
	if err := h.file(pid, "mountinfo", &b); err != nil {
		return nil, err
	}
	return mounts.Parse(&b)
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
