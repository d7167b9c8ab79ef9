package sample

import (
	"bytes"
	"strconv"
	"strings"
)

// tick is the kernel's clock tick as files show it: USER_HZ is 100 on every
// architecture that Go runs on.
const tick = 10_000_000

// ParseStat reads how long a process has run, in nanoseconds, from /proc/PID/stat
// (fields 14 and 15, proc_pid_stat(5)); what counts is behind the last parenthesis.
func ParseStat(text []byte) (cpu uint64, ok bool) {
	rest := text[bytes.LastIndexByte(text, ')')+1:]
	n := 3
	for f := range bytes.FieldsSeq(rest) {
		if n == 14 || n == 15 {
			ticks, err := strconv.ParseUint(string(f), 10, 64)
			if err != nil {
				return 0, false
			}
			cpu += ticks * tick
		}
		if n++; n > 15 {
			return cpu, true
		}
	}
	return 0, false
}

// ParseIO reads /proc/PID/io: what went from and to block devices.
func ParseIO(text string) (read, written uint64) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseUint(value, 10, 64) // no number is none
		switch key {
		case "read_bytes":
			read = n
		case "write_bytes":
			written = n
		}
	}
	return read, written
}

// ParseNet sums up /proc/PID/net/dev over the interfaces that count: not loopback.
func ParseNet(text string, counts func(name string) bool) Net {
	var sum Net
	for line := range strings.Lines(text) {
		name, numbers, ok := strings.Cut(line, ":")
		f := strings.Fields(numbers)
		if name = strings.TrimSpace(name); !ok || len(f) < 9 || name == "lo" || !counts(name) {
			continue
		}
		in, err1 := strconv.ParseUint(f[0], 10, 64)
		out, err2 := strconv.ParseUint(f[8], 10, 64)
		if err1 == nil && err2 == nil {
			sum.Received += in
			sum.Sent += out
		}
	}
	return sum
}

// parseCPU reads the first lines of /proc/stat: ticks of all CPUs, and how many there
// are. Waiting for a disk is idleness; guests are counted in user time already.
func parseCPU(text string) (busy, total uint64, cpus int) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasPrefix(f[0], "cpu") {
			break
		}
		if f[0] != "cpu" {
			cpus++
			continue
		}
		for i, word := range f[1:min(len(f), 9)] {
			n, _ := strconv.ParseUint(word, 10, 64) // the kernel writes numbers
			total += n
			if i != 3 && i != 4 { // idle, iowait
				busy += n
			}
		}
	}
	return busy, total, cpus
}

// field is a line of /proc/meminfo in bytes.
func field(text, name string) uint64 {
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); key == name && len(f) > 0 {
			n, _ := strconv.ParseUint(f[0], 10, 64) // the kernel writes numbers
			return n << 10
		}
	}
	return 0
}
