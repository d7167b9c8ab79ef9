package ref

import (
	"strconv"
	"strings"
)

// The grammar is that of the distribution project's reference package:
// https://github.com/distribution/reference. It is written out by hand: a regular
// expression would be the largest thing in the package.

func lower(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func letter(c byte) bool { return lower(c) || 'A' <= c && c <= 'Z' }

// validHost accepts a domain name, an IPv4 address or a bracketed IPv6 address,
// each with an optional port.
func validHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		return validIPv6(s[1:])
	}
	host, port, ok := strings.Cut(s, ":")
	if ok && !validPort(port) {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(s string) bool {
	if s == "" || !letter(s[0]) || !letter(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !letter(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// validIPv6 accepts what follows the opening bracket.
func validIPv6(s string) bool {
	address, port, closed := strings.Cut(s, "]")
	if !closed || address == "" || strings.Trim(address, "0123456789abcdefABCDEF:") != "" {
		return false
	}
	return port == "" || port[0] == ':' && validPort(port[1:])
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// validPath accepts path components separated by single slashes.
func validPath(s string) bool {
	for part := range strings.SplitSeq(s, "/") {
		if !validComponent(part) {
			return false
		}
	}
	return true
}

// validComponent accepts runs of lower-case letters and digits separated by one
// dot, one or two underscores, or any number of dashes.
func validComponent(s string) bool {
	if s == "" || !lower(s[0]) || !lower(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		if lower(s[i]) {
			i++
			continue
		}
		j := i
		for !lower(s[j]) { // ends: the last byte is a letter or digit
			j++
		}
		sep := s[i:j]
		if sep != "." && sep != "_" && sep != "__" && strings.Trim(sep, "-") != "" {
			return false
		}
		i = j
	}
	return true
}

func validTag(s string) bool {
	if s == "" || len(s) > maxTag || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !letter(s[i]) && s[i] != '_' && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return true
}

// validDigest accepts the two algorithms that image-spec registers, in lower case.
func validDigest(s string) bool {
	algorithm, hex, _ := strings.Cut(s, ":")
	switch algorithm {
	case "sha256":
		return isHex(hex, 64)
	case "sha512":
		return isHex(hex, 128)
	}
	return false
}

// IsID reports whether s is the hex part of an image ID: 64 lower-case digits.
func IsID(s string) bool { return isHex(s, 64) }

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// quote is strconv.Quote for people: one line whatever s holds.
func quote(s string) string { return strconv.Quote(s) }
