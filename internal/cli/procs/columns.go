package procs

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"carob/internal/status"
)

// columnOf returns a column by any of ps's names for it.
func columnOf(name string) (column, bool) {
	switch name {
	case "pid", "tgid":
		return number("PID", func(p status.Process) int { return p.Pid }), true
	case "ppid":
		return number("PPID", func(p status.Process) int { return p.PPid }), true
	case "pgid", "pgrp":
		return number(strings.ToUpper(name), func(p status.Process) int { return p.PGID }), true
	case "sid", "sess", "session":
		return number("SID", func(p status.Process) int { return p.SID }), true
	case "uid", "euid":
		return number(strings.ToUpper(name), func(p status.Process) int { return int(p.UID) }), true
	case "user", "euser", "uname":
		return column{head: "USER", text: user}, true
	case "ni", "nice":
		return number("NI", func(p status.Process) int { return p.Nice }), true
	case "nlwp", "thcount":
		return number(strings.ToUpper(name), func(p status.Process) int { return p.Threads }), true
	case "tty", "tt", "tname":
		return column{head: "TTY", text: tty}, true
	case "s", "state":
		return column{head: "S", text: func(p status.Process, _ Facts) string { return p.State }}, true
	case "stat":
		return column{head: "STAT", text: state}, true
	case "comm", "ucomm":
		return column{head: "COMMAND", text: program}, true
	case "ucmd":
		return column{head: "CMD", text: program}, true
	case "args", "command":
		return column{head: "COMMAND", text: command}, true
	case "cmd":
		return column{head: "CMD", text: command}, true
	}
	return useOf(name)
}

// useOf returns a column of memory or time.
func useOf(name string) (column, bool) {
	switch name {
	case "rss", "rssize", "rsz":
		return column{"RSS", true, func(p status.Process, _ Facts) string { return kib(p.RSS) }}, true
	case "vsz", "vsize":
		return column{"VSZ", true, func(p status.Process, _ Facts) string { return kib(p.VSZ) }}, true
	case "%mem", "pmem":
		return column{"%MEM", true, memoryShare}, true
	case "%cpu", "pcpu":
		return column{"%CPU", true, func(p status.Process, f Facts) string { return fmt.Sprintf("%.1f", cpuShare(p, f)) }}, true
	case "c":
		return column{"C", true, func(p status.Process, f Facts) string { return strconv.Itoa(int(cpuShare(p, f))) }}, true
	case "time", "cputime":
		return column{"TIME", true, func(p status.Process, _ Facts) string { return clock(time.Duration(p.CPU)) }}, true
	case "bsdtime":
		return column{"TIME", true, func(p status.Process, _ Facts) string {
			s := int(time.Duration(p.CPU).Seconds())
			return fmt.Sprintf("%d:%02d", s/60, s%60)
		}}, true
	case "etime":
		return column{"ELAPSED", true, func(p status.Process, f Facts) string { return elapsed(age(p, f)) }}, true
	case "etimes":
		return column{"ELAPSED", true, func(p status.Process, f Facts) string { return strconv.Itoa(int(age(p, f).Seconds())) }}, true
	case "lstart":
		return column{"STARTED", false, func(p status.Process, f Facts) string {
			return time.Unix(p.Started, 0).In(f.Now.Location()).Format(time.ANSIC)
		}}, true
	case "start_time":
		return column{"START", false, started}, true
	case "stime":
		return column{"STIME", false, started}, true
	case "start":
		return column{"STARTED", false, started}, true
	}
	return column{}, false
}

func number(head string, of func(status.Process) int) column {
	return column{head, true, func(p status.Process, _ Facts) string { return strconv.Itoa(of(p)) }}
}

func user(p status.Process, f Facts) string {
	return cmp.Or(f.User(p.UID), strconv.Itoa(int(p.UID)))
}

func program(p status.Process, _ Facts) string { return p.Comm }
func command(p status.Process, _ Facts) string { return p.Command }

func tty(p status.Process, _ Facts) string { return cmp.Or(p.TTY, "?") }

// state adds what ps does: priority, leader of a session, threads, foreground.
func state(p status.Process, _ Facts) string {
	s := p.State
	switch {
	case p.Nice < 0:
		s += "<"
	case p.Nice > 0:
		s += "N"
	}
	if p.SID == p.Pid {
		s += "s"
	}
	if p.Threads > 1 {
		s += "l"
	}
	if p.Foreground {
		s += "+"
	}
	return s
}

func kib(bytes uint64) string { return strconv.FormatUint(bytes>>10, 10) }

func memoryShare(p status.Process, f Facts) string {
	if f.Memory == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", 100*float64(p.RSS)/float64(f.Memory))
}

func age(p status.Process, f Facts) time.Duration {
	return max(f.Now.Sub(time.Unix(p.Started, 0)), 0)
}

// cpuShare is CPU time over life time, as ps has it.
func cpuShare(p status.Process, f Facts) float64 {
	return 100 * time.Duration(p.CPU).Seconds() / max(age(p, f).Seconds(), 1)
}

// clock is a time as [DD-]HH:MM:SS.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	days := ""
	if s >= 86400 {
		days = fmt.Sprintf("%d-", s/86400)
	}
	return fmt.Sprintf("%s%02d:%02d:%02d", days, s/3600%24, s/60%60, s%60)
}

// elapsed is clock without hours that there are none of.
func elapsed(d time.Duration) string { return strings.TrimPrefix(clock(d), "00:") }

// started is the time of today, or the day.
func started(p status.Process, f Facts) string {
	at := time.Unix(p.Started, 0).In(f.Now.Location())
	switch {
	case at.YearDay() == f.Now.YearDay() && at.Year() == f.Now.Year():
		return at.Format("15:04")
	case at.Year() == f.Now.Year():
		return at.Format("Jan02")
	}
	return at.Format("2006")
}
