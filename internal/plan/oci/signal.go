package oci

import (
	"strconv"
	"strings"

	"carob/internal/fault"
)

// The real-time signals as C libraries show them: the kernel's begin at 32, and
// glibc keeps the first two for itself (signal(7)).
const (
	sigRTMin   = 34
	sigRTMax   = 64
	sigHighest = 64
)

// Signal reads a signal as Docker does: a number from 1 to 64 or a name with or
// without SIG in either case, RTMIN+n and RTMAX-n included. The error is Invalid.
func Signal(name string) (int, error) {
	unknown := fault.New(fault.Invalid, "signal \""+clip(name)+"\": not a name like TERM or a number from 1 to 64")
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > sigHighest || !isDigit(name[0]) {
			return 0, unknown
		}
		return n, nil
	}
	word := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if n := signalNumber(word); n != 0 {
		return n, nil
	}
	for _, rt := range []struct {
		prefix     string
		base, sign int
	}{{"RTMIN", sigRTMin, 1}, {"RTMAX", sigRTMax, -1}} {
		rest, ok := strings.CutPrefix(word, rt.prefix)
		if !ok {
			continue
		}
		if rest == "" {
			return rt.base, nil
		}
		want := byte('+')
		if rt.sign < 0 {
			want = '-'
		}
		n, err := strconv.Atoi(rest[1:])
		if rest[0] != want || err != nil || !isDigit(rest[1]) || n > sigRTMax-sigRTMin {
			return 0, unknown
		}
		return rt.base + rt.sign*n, nil
	}
	return 0, unknown
}

// signalNumber knows the names of signal(7) with the numbers that x86, arm,
// riscv, s390, power and loongarch share; 0 is unknown.
func signalNumber(word string) int {
	switch word {
	case "IOT":
		return 6
	case "CLD":
		return 17
	case "POLL":
		return 29
	case "UNUSED":
		return 31
	}
	for i, n := range [...]string{
		"HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT",
		"CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
	} {
		if n == word {
			return i + 1
		}
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// clip keeps hostile input out of one-line errors.
func clip(s string) string {
	const most = 120
	if len(s) > most {
		s = s[:most] + "…"
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}
