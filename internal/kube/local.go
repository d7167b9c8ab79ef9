package kube

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"

	"carob/internal/kube/manifest"
)

// Local returns the facts of this machine, for Applier.Facts. They are read anew
// each time: addresses change.
func Local() (manifest.Facts, error) {
	f := manifest.Facts{CPUs: runtime.NumCPU()}
	var err error
	if f.NodeName, err = os.Hostname(); err != nil {
		return f, fmt.Errorf("machine: %w", err)
	}
	if f.HostIPs, err = hostIPs(); err != nil {
		return f, fmt.Errorf("machine: addresses: %w", err)
	}
	if f.Memory, err = readFile("/proc/meminfo", parseMemory); err != nil {
		return f, fmt.Errorf("machine: memory: %w", err)
	}
	return f, nil
}

// hostIPs are the global addresses of interfaces that are up, IPv4 first as in a
// node's status.
func hostIPs() ([]string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var v4, v6 []string
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || !n.IP.IsGlobalUnicast():
		case n.IP.To4() != nil:
			v4 = append(v4, n.IP.String())
		default:
			v6 = append(v6, n.IP.String())
		}
	}
	return append(v4, v6...), nil
}

func readFile[T any](path string, parse func(io.Reader) (T, error)) (out T, err error) {
	f, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer f.Close()
	return parse(f)
}

// parseMemory returns MemTotal of /proc/meminfo in bytes.
func parseMemory(r io.Reader) (int64, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			kb, err := strconv.ParseInt(f[1], 10, 53)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("no MemTotal")
}
