package host

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxText bounds what is read of any file here; mountinfo of a busy node is the largest.
const maxText = 64 << 20

func scan(in io.Reader, f func(line string) error) error {
	s := bufio.NewScanner(io.LimitReader(in, maxText))
	s.Buffer(make([]byte, 0, 4096), 1<<20)
	for s.Scan() {
		if err := f(s.Text()); err != nil {
			return err
		}
	}
	return s.Err()
}

// ParseVersion reads a kernel release: "6.18.44-fc", "5.14-rc3", "6.1".
func ParseVersion(in io.Reader) (Version, error) {
	b, err := io.ReadAll(io.LimitReader(in, 256))
	if err != nil {
		return Version{}, err
	}
	text := strings.TrimSpace(string(b))
	major, rest, ok := strings.Cut(text, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	ma, err1 := strconv.ParseUint(major, 10, 16)
	mi, err2 := strconv.ParseUint(rest[:end], 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return Version{}, fmt.Errorf("kernel release %.80q", text)
	}
	return Version{int(ma), int(mi)}, nil
}

// parseCgroupMode looks for cgroup mounts in a mountinfo.
func parseCgroupMode(in io.Reader) (string, error) {
	var v1, v2 bool
	err := scan(in, func(line string) error {
		_, right, _ := strings.Cut(line, " - ")
		kind, _, _ := strings.Cut(right, " ")
		v1 = v1 || kind == "cgroup"
		v2 = v2 || kind == "cgroup2"
		return nil
	})
	switch {
	case v1 && v2:
		return "hybrid", err
	case v1:
		return "v1", err
	case v2:
		return "v2", err
	}
	return "none", err
}

// processStatus is what matters here of proc_pid_status(5).
type processStatus struct {
	effective CapSet
	seccomp   bool // the kernel has it; the line is absent otherwise
}

func parseStatus(in io.Reader) (processStatus, error) {
	var s processStatus
	err := scan(in, func(line string) error {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "CapEff":
			n, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err != nil {
				return fmt.Errorf("CapEff: %w", err)
			}
			s.effective = CapSet(n)
		case "Seccomp":
			s.seccomp = true
		}
		return nil
	})
	return s, err
}

// parseMaxOpenFiles reads the hard limit of open files from /proc/PID/limits.
func parseMaxOpenFiles(in io.Reader) (hard uint64, err error) {
	err = scan(in, func(line string) error {
		rest, ok := strings.CutPrefix(line, "Max open files")
		if !ok {
			return nil
		}
		f := strings.Fields(rest) // soft, hard, unit; never unlimited (fs.nr_open)
		if len(f) < 2 {
			return fmt.Errorf("open files %.80q", rest)
		}
		hard, err = strconv.ParseUint(f[1], 10, 64)
		return err
	})
	return hard, err
}

// parseFilesystems reads /proc/filesystems: "nodev\toverlay" or "\text4".
func parseFilesystems(in io.Reader) ([]string, error) {
	var out []string
	err := scan(in, func(line string) error {
		if f := strings.Fields(line); len(f) > 0 {
			out = append(out, f[len(f)-1])
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// ParseCPUList counts the members of a kernel list like "0-3,8"; ranges must
// ascend and not overlap, as the kernel writes them.
func ParseCPUList(in io.Reader) (int, error) {
	b, err := io.ReadAll(io.LimitReader(in, 1<<16))
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return 0, nil
	}
	count, next := 0, uint64(0)
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		z, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || a < next || z < a {
			return 0, fmt.Errorf("list %.80q", text)
		}
		count += int(z - a + 1)
		next = z + 1
	}
	return count, nil
}

// parseMeminfo returns MemTotal and SwapTotal in bytes.
func parseMeminfo(in io.Reader) (memory, swap int64, err error) {
	err = scan(in, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			return nil
		}
		target := map[string]*int64{"MemTotal:": &memory, "SwapTotal:": &swap}[f[0]]
		if target == nil {
			return nil
		}
		kb, err := strconv.ParseUint(f[1], 10, 52)
		if err != nil {
			return fmt.Errorf("%s %w", f[0], err)
		}
		*target = int64(kb) << 10
		return nil
	})
	return memory, swap, err
}

func parseInt(in io.Reader) (int64, error) {
	b, err := io.ReadAll(io.LimitReader(in, 64))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// hugePageKB reads a directory name like "hugepages-2048kB".
func hugePageKB(name string) (int64, bool) {
	s, ok1 := strings.CutPrefix(name, "hugepages-")
	s, ok2 := strings.CutSuffix(s, "kB")
	kb, err := strconv.ParseUint(s, 10, 40)
	return int64(kb), ok1 && ok2 && err == nil && kb > 0
}

// sizeName writes kilobytes as the kernel's hugetlb cgroup does.
func sizeName(kb int64) string {
	switch {
	case kb%(1<<20) == 0:
		return strconv.FormatInt(kb>>20, 10) + "GB"
	case kb%(1<<10) == 0:
		return strconv.FormatInt(kb>>10, 10) + "MB"
	}
	return strconv.FormatInt(kb, 10) + "KB"
}
