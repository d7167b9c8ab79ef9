package procs

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"carob/internal/status"
)

// columns are those there are, by each of ps's names for them.
func columns() map[string]column {
	all := map[string]column{}
	for _, c := range []struct {
		names string
		column
	}{
		{"pid tgid", number("PID", func(p status.Process) int { return p.Pid })},
		{"ppid", number("PPID", func(p status.Process) int { return p.PPid })},
		{"pgid pgrp", number("PGID", func(p status.Process) int { return p.PGID })},
		{"sid sess session", number("SID", func(p status.Process) int { return p.SID })},
		{"uid euid", number("UID", func(p status.Process) int { return int(p.UID) })},
		{"ni nice", number("NI", func(p status.Process) int { return p.Nice })},
		{"nlwp thcount", number("NLWP", func(p status.Process) int { return p.Threads })},
		{"user euser uname", column{"USER", false, user}},
		{"tty tt tname", column{"TTY", false, func(p status.Process, _ Facts) string { return cmp.Or(p.TTY, "?") }}},
		{"s state", column{"S", false, func(p status.Process, _ Facts) string { return p.State }}},
		{"stat", column{"STAT", false, state}},
		{"comm ucomm", column{"COMMAND", false, program}},
		{"ucmd", column{"CMD", false, program}},
		{"args command", column{"COMMAND", false, command}},
		{"cmd", column{"CMD", false, command}},
		{"rss rssize rsz", column{"RSS", true, func(p status.Process, _ Facts) string { return kib(p.RSS) }}},
		{"vsz vsize", column{"VSZ", true, func(p status.Process, _ Facts) string { return kib(p.VSZ) }}},
		{"%mem pmem", column{"%MEM", true, memoryShare}},
		{"%cpu pcpu", column{"%CPU", true, func(p status.Process, f Facts) string { return fmt.Sprintf("%.1f", cpuShare(p, f)) }}},
		{"c", column{"C", true, func(p status.Process, f Facts) string { return strconv.Itoa(int(cpuShare(p, f))) }}},
		{"time cputime", column{"TIME", true, func(p status.Process, _ Facts) string { return clock(time.Duration(p.CPU)) }}},
		{"bsdtime", column{"TIME", true, minutes}},
		{"etime", column{"ELAPSED", true, func(p status.Process, f Facts) string { return elapsed(age(p, f)) }}},
		{"etimes", column{"ELAPSED", true, func(p status.Process, f Facts) string { return strconv.Itoa(int(age(p, f).Seconds())) }}},
		{"lstart", column{"STARTED", false, func(p status.Process, f Facts) string { return begun(p, f).Format(time.ANSIC) }}},
		{"start_time", column{"START", false, started}},
		{"stime", column{"STIME", false, started}},
		{"start", column{"STARTED", false, started}},
	} {
		for name := range strings.FieldsSeq(c.names) {
			all[name] = c.column
		}
	}
	return all
}

func number(head string, of func(status.Process) int) column {
	return column{head, true, func(p status.Process, _ Facts) string { return strconv.Itoa(of(p)) }}
}

func user(p status.Process, f Facts) string {
	return cmp.Or(f.User(p.UID), strconv.Itoa(int(p.UID)))
}

func program(p status.Process, _ Facts) string { return p.Comm }
func command(p status.Process, _ Facts) string { return p.Command }

func minutes(p status.Process, _ Facts) string {
	s := int(time.Duration(p.CPU).Seconds())
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func begun(p status.Process, f Facts) time.Time {
	return time.Unix(p.Started, 0).In(f.Now.Location())
}

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
	at := begun(p, f)
	switch {
	case at.YearDay() == f.Now.YearDay() && at.Year() == f.Now.Year():
		return at.Format("15:04")
	case at.Year() == f.Now.Year():
		return at.Format("Jan02")
	}
	return at.Format("2006")
}
