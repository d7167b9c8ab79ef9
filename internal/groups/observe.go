package groups

import (
	"bufio"
	"bytes"
	"context"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/task"
)

// Namespaces reads /proc/PID/ns.
func (g *Groups) Namespaces(pid int) (map[string]string, error) {
	out, err := task.Ask(pid, namespaces)
	switch {
	case os.IsNotExist(err):
		return nil, fault.Wrap(fault.NotFound, "process "+strconv.Itoa(pid), err)
	case err != nil:
		return nil, fault.Wrap(fault.Denied, "process "+strconv.Itoa(pid), err)
	}
	return out, nil
}

func namespaces(dir string) (map[string]string, error) {
	out := make(map[string]string, 8)
	for _, kind := range []string{"mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"} {
		link, err := os.Readlink(dir + "/ns/" + kind)
		if os.IsNotExist(err) && kind == "time" { // a kernel without
			continue
		}
		if err != nil {
			return nil, err
		}
		out[kind] = link
	}
	return out, nil
}

// Observe reads what the kernel shows of a process and, unless path is empty, as it is
// for a solo pod's supervisor on cgroup v1, of a group.
func (g *Groups) Observe(_ context.Context, pid int, path string) (status.Observed, error) {
	var o status.Observed
	var err error
	if o.Namespaces, err = g.Namespaces(pid); err != nil {
		return o, err
	}
	dir := "/proc/" + strconv.Itoa(pid)
	text, err := os.ReadFile(dir + "/status")
	if err != nil {
		return o, fault.Wrap(fault.NotFound, "process "+strconv.Itoa(pid), err)
	}
	readStatus(text, &o)
	if text, err = os.ReadFile(dir + "/uid_map"); err == nil {
		o.UIDMap = strings.Join(strings.Fields(string(text)), " ")
	}
	if text, err = os.ReadFile(dir + "/oom_score_adj"); err == nil {
		o.OOMScoreAdj, _ = strconv.Atoi(strings.TrimSpace(string(text))) // the kernel writes a number
	}
	if path == "" {
		return o, nil
	}
	c, err := g.layout.Open(path)
	if err != nil {
		return o, err
	}
	limits, err := c.Observed()
	if err != nil {
		return o, err
	}
	o.Resources = &limits
	o.Cgroups = map[string]string{}
	for _, name := range g.layout.Controllers() {
		o.Cgroups[name] = c.Path(name)
	}
	return o, nil
}

// readStatus reads /proc/PID/status (proc_pid_status(5)).
func readStatus(text []byte, o *status.Observed) {
	o.Capabilities = map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch key {
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb":
			o.Capabilities[key] = value
		case "NoNewPrivs":
			o.NoNewPrivs = value == "1"
		case "Seccomp":
			o.SeccompMode, _ = strconv.Atoi(value) // 0, 1 or 2
		case "Uid":
			if f := strings.Fields(value); len(f) > 0 {
				id, _ := strconv.ParseUint(f[0], 10, 32) // a uid
				o.UID = uint32(id)
			}
		}
	}
}

// Handles reports whether the process catches, ignores or blocks a signal.
func (g *Groups) Handles(pid, signal int) (bool, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false, fault.Wrap(fault.NotFound, "process "+strconv.Itoa(pid), err)
	}
	return handles(text, signal), nil
}

// handles reads the sets of /proc/PID/status (proc_pid_status(5)).
func handles(text []byte, signal int) bool {
	var sets uint64
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch key {
		case "SigBlk", "SigIgn", "SigCgt":
			set, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64) // the kernel writes 16 digits
			sets |= set
		}
	}
	return sets>>(signal-1)&1 == 1
}

// GroupProcesses lists the processes in a group and below. Those that end while
// they are read are left out.
func (g *Groups) GroupProcesses(_ context.Context, path string) ([]status.Process, error) {
	pids, err := g.pids(path)
	if err != nil {
		return nil, err
	}
	boot := time.Now().Add(-uptime())
	out := make([]status.Process, 0, len(pids))
	for _, pid := range pids {
		if p, ok := readProcess(pid, boot); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

func uptime() time.Duration {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	s, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return time.Duration(s * float64(time.Second))
}

// ticksPerSecond is USER_HZ, the unit of times in /proc/PID/stat: 100 on every
// architecture that carob runs on.
const ticksPerSecond = 100

func readProcess(pid int, boot time.Time) (status.Process, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return status.Process{}, false
	}
	p, ok := parseStat(stat, boot)
	if !ok {
		return p, false
	}
	p.Pid = pid
	if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
		p.Command = strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	}
	if text, err := os.ReadFile(dir + "/status"); err == nil {
		var o status.Observed
		readStatus(text, &o)
		p.UID = o.UID
	}
	return p, true
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)). The command's name is in
// parentheses and may itself contain any character.
func parseStat(stat []byte, boot time.Time) (p status.Process, ok bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return p, false
	}
	f := strings.Fields(string(stat[end+1:]))
	if len(f) < 22 {
		return p, false
	}
	n := func(i int) uint64 {
		v, _ := strconv.ParseUint(f[i], 10, 64) // the kernel writes numbers; a negative one is 0 here
		return v
	}
	p.Comm = string(stat[open+1 : end])
	p.Command = "[" + p.Comm + "]"
	p.State = f[0]
	p.PPid, p.PGID, p.SID = int(n(1)), int(n(2)), int(n(3))
	p.TTY = terminal(n(4))
	p.Foreground = p.TTY != "" && int(n(5)) == p.PGID
	p.Nice, _ = strconv.Atoi(f[16]) // as above
	p.Threads = int(n(17))
	p.VSZ = n(20)
	p.CPU = (n(11) + n(12)) * uint64(time.Second/ticksPerSecond)
	p.Started = boot.Add(time.Duration(n(19)) * time.Second / ticksPerSecond).Unix()
	p.RSS = n(21) * uint64(os.Getpagesize())
	return p, true
}

// terminal names a device number as /proc/PID/stat has it, "" for 0.
func terminal(device uint64) string {
	major, minor := device>>8&0xfff, device&0xff|device>>12&0xfff00
	switch {
	case device == 0:
		return ""
	case major >= 136 && major <= 143: // UNIX98_PTY_SLAVE_MAJOR and seven more
		return "pts/" + strconv.FormatUint((major-136)<<8|minor, 10) // minor is below 256 where there are several
	case major == 4 && minor < 64:
		return "tty" + strconv.FormatUint(minor, 10)
	case major == 4:
		return "ttyS" + strconv.FormatUint(minor-64, 10)
	}
	return strconv.FormatUint(major, 10) + ":" + strconv.FormatUint(minor, 10)
}

func statsOf(s cgroup.Stats, at time.Time) status.Stats {
	return status.Stats{
		At:       at,
		CPUTotal: s.CPU.Usage, CPUThrottled: s.CPU.Throttled,
		MemoryUsage: s.Memory.Usage, MemoryWorkingSet: s.Memory.WorkingSet, MemoryLimit: limitOf(s.Memory.Limit),
		SwapUsage: s.Memory.Swap, OOMKills: s.Memory.OOMKills,
		Pids: s.Pids.Current, PidsLimit: limitOf(s.Pids.Limit),
		IORead: s.IO.ReadBytes, IOWrite: s.IO.WriteBytes,
		Details: status.Details{
			CPUUser: s.CPU.User, CPUSystem: s.CPU.System, CPUPeriods: s.CPU.Periods, CPUThrottled: s.CPU.ThrottledPeriods,
			MemoryRSS: s.Memory.RSS, MemoryCache: s.Memory.Cache, SwapLimit: limitOf(s.Memory.SwapLimit),
			PageFaults: s.Memory.PageFaults, MajorFaults: s.Memory.MajorFaults, IOReads: s.IO.Reads, IOWrites: s.IO.Writes,
			CPUStall: stallOf(s.CPUStall), MemoryStall: stallOf(s.MemoryStall), IOStall: stallOf(s.IOStall),
		},
	}
}

func stallOf(s *cgroup.Stall) *status.Stall {
	if s == nil {
		return nil
	}
	return &status.Stall{Some: status.Pressure(s.Some), Full: status.Pressure(s.Full)}
}

// limitOf: the cgroup package's "unlimited" is the largest number, status has 0 for it.
func limitOf(n uint64) uint64 {
	if n == math.MaxUint64 {
		return 0
	}
	return n
}

func isGone(err error) bool { return fault.Is(err, fault.NotFound) || os.IsNotExist(err) }
