package podproc

// stampSize is the length of a stamp: RFC 3339 in UTC with all nine digits, so
// that stamps sort as text.
const stampSize = len("2006-01-02T15:04:05.000000000Z")

// stamp writes the time, nanoseconds since 1970, to b. Package time would do the
// same at the price of its tables in every pod.
func stamp(b *[stampSize]byte, nano int64) {
	const second, day = 1_000_000_000, 24 * 60 * 60
	sec := nano / second
	y, m, d := civil(sec / day)
	digits(b[0:4], y)
	b[4] = '-'
	digits(b[5:7], m)
	b[7] = '-'
	digits(b[8:10], d)
	b[10] = 'T'
	s := sec % day
	digits(b[11:13], s/3600)
	b[13] = ':'
	digits(b[14:16], s/60%60)
	b[16] = ':'
	digits(b[17:19], s%60)
	b[19] = '.'
	digits(b[20:29], nano%second)
	b[29] = 'Z'
}

// civil turns days since 1970 into year, month and day. It counts in years that
// begin in March, whose months alternate regularly and whose leap day comes last.
func civil(days int64) (y, m, d int64) {
	const days400, days100, days4 = 146097, 36524, 1461
	days += 719468 // since 0000-03-01
	era, of := days/days400, days%days400
	year := (of - of/(days4-1) + of/days100 - of/(days400-1)) / 365
	of -= 365*year + year/4 - year/100
	m = (5*of + 2) / 153
	d = of - (153*m+2)/5 + 1
	y = 400*era + year
	if m += 3; m > 12 {
		m -= 12
		y++
	}
	return y, m, d
}

// digits writes n in decimal, filling b with leading zeros.
func digits(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// appendUint appends n in decimal.
func appendUint(b []byte, n uint64) []byte {
	if n >= 10 {
		b = appendUint(b, n/10)
	}
	return append(b, byte('0'+n%10))
}
