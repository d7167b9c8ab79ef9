package watch

import (
	"strconv"

	"carob/internal/look/ink"
)

// short writes a number in at most five columns: 0, 999, 1.5K, 12.3M, 1023M.
func short(n float64) string {
	const units = " KMGTPE"
	i := 0
	for n >= 1023.5 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return strconv.Itoa(int(n + 0.5))
	}
	digits := 0
	switch {
	case n < 9.995:
		digits = 2
	case n < 99.95:
		digits = 1
	}
	s := strconv.FormatFloat(n, 'f', digits, 64)
	if digits > 0 { // 1.00G is 1G, 1.50G is 1.5G
		for s[len(s)-1] == '0' {
			s = s[:len(s)-1]
		}
		if s[len(s)-1] == '.' {
			s = s[:len(s)-1]
		}
	}
	return s + units[i:i+1]
}

// percent writes a share in at most five columns.
func percent(v float64) string {
	if v >= 999.95 {
		return strconv.Itoa(int(v + 0.5))
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// unknown stands for what nobody counts or may be seen.
const unknown = "–"

// rate is a number that was measured: nothing is dim, so that what happens is seen.
func rate(v *float64) Span {
	switch {
	case v == nil:
		return plain(ink.Dim, unknown)
	case *v < 0.5:
		return plain(ink.Dim, "0")
	}
	return plain(ink.Plain, short(*v))
}

func count(v *uint64) Span {
	if v == nil {
		return plain(ink.Dim, unknown)
	}
	return plain(ink.Plain, short(float64(*v)))
}
