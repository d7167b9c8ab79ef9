package procfs

import (
	"bytes"
	"slices"
	"strconv"
)

// Links reads what has passed through the interfaces of a process's network namespace,
// without loopback. NotFound when the process is gone.
func Links(pid int) ([]Link, error) {
	var text bytes.Buffer
	if err := File("/proc/"+strconv.Itoa(pid)+"/net/dev", &text); err != nil {
		return nil, err
	}
	return parseLinks(text.Bytes()), nil
}

// Link is a network interface and what passed through it.
type Link struct {
	Name           string
	Received, Sent Traffic
}

// Traffic counts one direction.
type Traffic struct{ Bytes, Packets, Errors, Dropped uint64 }

// parseLinks reads /proc/PID/net/dev; loopback is left out, and what is no line of an
// interface.
func parseLinks(text []byte) []Link {
	var out []Link
	for line := range bytes.Lines(text) {
		name, rest, found := bytes.Cut(line, []byte(":"))
		f := bytes.Fields(rest)
		if !found || len(f) < 12 || string(bytes.TrimSpace(name)) == "lo" {
			continue
		}
		var n [12]uint64
		for i := range n {
			n[i], _ = strconv.ParseUint(string(f[i]), 10, 64) // the kernel writes numbers
		}
		out = append(out, Link{
			Name: string(bytes.TrimSpace(name)), Received: Traffic{n[0], n[1], n[2], n[3]}, Sent: Traffic{n[8], n[9], n[10], n[11]},
		})
	}
	return slices.Clip(out)
}
