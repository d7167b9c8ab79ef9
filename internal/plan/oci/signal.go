package oci

import (
	"cmp"
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
	if n := realTime(word); n != 0 {
		return n, nil
	}
	return 0, unknown
}

// realTime reads RTMIN, RTMIN+n, RTMAX and RTMAX-n; 0 is none of them.
func realTime(word string) int {
	base, sign, rest := sigRTMin, 1, ""
	if low, ok := strings.CutPrefix(word, "RTMIN"); ok {
		rest = strings.Replace(low, "+", " ", 1)
	} else if high, ok := strings.CutPrefix(word, "RTMAX"); ok {
		base, sign, rest = sigRTMax, -1, strings.Replace(high, "-", " ", 1)
	} else {
		return 0
	}
	if rest == "" {
		return base
	}
	number, ok := strings.CutPrefix(rest, " ")
	n, isNumber := decimal(number)
	if !ok || !isNumber || n > sigRTMax-sigRTMin {
		return 0
	}
	return base + sign*n
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

// StopSignal is Signal for the signal that asks a container to end; "" is TERM.
func StopSignal(name string) (int, error) {
	return Signal(cmp.Or(name, "TERM"))
}
