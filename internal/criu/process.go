package criu

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/plan/checkpoint"
	"carob/internal/sys/fd"
)

// Mounts reads the mounts that a process sees.
func Mounts(pid int) ([]checkpoint.Mount, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, "mounts", err)
	}
	defer f.Close()
	return checkpoint.Mounts(f)
}

// Streams reads what the standard streams of a process are.
func Streams(pid int) (out [3]checkpoint.Stream, err error) {
	for n := range out {
		if out[n], err = stream(pid, n); err != nil {
			return out, fault.Wrap(fault.NotFound, "standard streams", err)
		}
	}
	return out, nil
}

func stream(pid, n int) (s checkpoint.Stream, err error) {
	name := fmt.Sprintf("/proc/%d/fd/%d", pid, n)
	if s.Link, err = os.Readlink(name); os.IsNotExist(err) {
		return checkpoint.Stream{Link: "anon_inode:closed"}, nil
	}
	if err != nil {
		return s, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return s, err
	}
	_, s.Inode, _ = fd.Link(info)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, n))
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			s.Mount, err = strconv.Atoi(strings.TrimSpace(id))
		}
	}
	return s, err
}
