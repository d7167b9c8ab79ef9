package toolbox

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func hostTools() []applet {
	return []applet{
		{"date", date}, {"free", free}, {"hostname", hostname}, {"id", id}, {"nproc", nproc},
		{"printenv", printenv}, {"pwd", pwd}, {"uname", uname}, {"whoami", whoami},
	}
}

func hostname(c *call) (int, error) {
	if len(c.args) > 0 && !strings.HasPrefix(c.args[0], "-") {
		return 0, unix.Sethostname([]byte(c.args[0]))
	}
	name, err := os.Hostname()
	fmt.Fprintln(c.stdout, name)
	return 0, err
}

func nproc(c *call) (int, error) {
	_, err := fmt.Fprintln(c.stdout, runtime.NumCPU()) // the affinity mask's, not the host's
	return 0, err
}

func pwd(c *call) (int, error) {
	dir, err := os.Getwd()
	fmt.Fprintln(c.stdout, dir)
	return 0, err
}

func printenv(c *call) (int, error) {
	if len(c.args) == 0 {
		fmt.Fprintln(c.stdout, strings.Join(os.Environ(), "\n"))
		return 0, nil
	}
	for _, name := range c.args {
		v, ok := os.LookupEnv(name)
		if !ok {
			return codeFailed, nil
		}
		fmt.Fprintln(c.stdout, v)
	}
	return 0, nil
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return g.Name
	}
	return strconv.Itoa(gid)
}

func whoami(c *call) (int, error) {
	_, err := fmt.Fprintln(c.stdout, userName(os.Geteuid()))
	return 0, err
}

func id(c *call) (int, error) {
	o, _, err := c.parse("ugnGr")
	if err != nil {
		return codeUsage, err
	}
	one := func(n int, name string) (int, error) {
		if !o.has('n') {
			name = strconv.Itoa(n)
		}
		_, err := fmt.Fprintln(c.stdout, name)
		return 0, err
	}
	groups, err := os.Getgroups()
	if err != nil {
		return 0, err
	}
	show := func(n int, name string) string {
		if name == strconv.Itoa(n) {
			return name
		}
		return fmt.Sprintf("%d(%s)", n, name)
	}
	switch {
	case o.has('u'):
		return one(os.Geteuid(), userName(os.Geteuid()))
	case o.has('g'):
		return one(os.Getegid(), groupName(os.Getegid()))
	}
	var plain, long []string
	for _, g := range append([]int{os.Getegid()}, without(groups, os.Getegid())...) {
		plain = append(plain, strconv.Itoa(g))
		long = append(long, show(g, groupName(g)))
		if o.has('n') {
			plain[len(plain)-1] = groupName(g)
		}
	}
	if o.has('G') {
		_, err := fmt.Fprintln(c.stdout, strings.Join(plain, " "))
		return 0, err
	}
	_, err = fmt.Fprintf(c.stdout, "uid=%s gid=%s groups=%s\n", show(os.Geteuid(), userName(os.Geteuid())), long[0], strings.Join(long, ","))
	return 0, err
}

func without(all []int, n int) []int {
	var kept []int
	for _, a := range all {
		if a != n {
			kept = append(kept, a)
		}
	}
	return kept
}

func uname(c *call) (int, error) {
	o, _, err := c.parse("asnrvmpio")
	if err != nil {
		return codeUsage, err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return 0, err
	}
	text := func(b [65]byte) string { return unix.ByteSliceToString(b[:]) }
	if len(o) == 0 {
		o['s'] = ""
	}
	var parts []string
	for _, p := range []struct {
		letter byte
		text   string
	}{{'s', text(u.Sysname)}, {'n', text(u.Nodename)}, {'r', text(u.Release)}, {'v', text(u.Version)}, {'m', text(u.Machine)}, {'o', "GNU/Linux"}} {
		if o.has(p.letter) || o.has('a') {
			parts = append(parts, p.text)
		}
	}
	_, err = fmt.Fprintln(c.stdout, strings.Join(parts, " "))
	return 0, err
}

// free shows the host's memory: /proc/meminfo knows no containers.
func free(c *call) (int, error) {
	o, _, err := c.parse("hkmgb")
	if err != nil {
		return codeUsage, err
	}
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	kib := map[string]uint64{}
	for line := range strings.Lines(string(info)) {
		k, v, _ := strings.Cut(line, ":")
		kib[k], _ = strconv.ParseUint(first(v), 10, 64) // 0 where a line is of another form
	}
	show := func(k string) string {
		v := kib[k]
		switch {
		case o.has('h'):
			return human(v << 10)
		case o.has('b'):
			v <<= 10
		case o.has('m'):
			v >>= 10
		case o.has('g'):
			v >>= 20
		}
		return strconv.FormatUint(v, 10)
	}
	kib["used"] = kib["MemTotal"] - min(kib["MemAvailable"], kib["MemTotal"])
	kib["swapUsed"] = kib["SwapTotal"] - kib["SwapFree"]
	fmt.Fprintf(c.stdout, "%-6s %12s %12s %12s %12s\n", "", "total", "used", "free", "available")
	fmt.Fprintf(c.stdout, "%-6s %12s %12s %12s %12s\n", "Mem:", show("MemTotal"), show("used"), show("MemFree"), show("MemAvailable"))
	fmt.Fprintf(c.stdout, "%-6s %12s %12s %12s\n", "Swap:", show("SwapTotal"), show("swapUsed"), show("SwapFree"))
	return 0, nil
}

// date prints the time now; its formats are strftime(3)'s common letters.
func date(c *call) (int, error) {
	o, rest, err := c.parse("uI:R")
	if err != nil {
		return codeUsage, err
	}
	now := time.Now()
	if o.has('u') {
		now = now.UTC()
	}
	format := "%a %b %e %H:%M:%S %Z %Y"
	switch {
	case o.has('I'):
		format = map[string]string{"date": "%F", "seconds": "%FT%T%:z", "ns": "%FT%T,%N%:z"}[o['I']]
	case len(rest) == 1 && strings.HasPrefix(rest[0], "+"):
		format = rest[0][1:]
	case len(rest) > 0:
		return codeUsage, errors.New("usage: date [-u] [-I date|seconds|ns] [+FORMAT]")
	}
	_, err = fmt.Fprintln(c.stdout, strftime(format, now))
	return 0, err
}

func strftime(format string, t time.Time) string {
	layout := func(l string) string { return t.Format(l) }
	return strings.NewReplacer(
		"%%", "%", "%n", "\n", "%t", "\t", "%F", layout("2006-01-02"), "%T", layout("15:04:05"), "%R", layout("15:04"), "%D", layout("01/02/06"),
		"%Y", layout("2006"), "%y", layout("06"), "%m", layout("01"), "%d", layout("02"), "%e", layout("_2"), "%H", layout("15"), "%I", layout("03"),
		"%M", layout("04"), "%S", layout("05"), "%N", fmt.Sprintf("%09d", t.Nanosecond()), "%p", layout("PM"), "%j", layout("002"),
		"%s", strconv.FormatInt(t.Unix(), 10), "%Z", layout("MST"), "%:z", layout("-07:00"), "%z", layout("-0700"),
		"%a", layout("Mon"), "%A", layout("Monday"), "%b", layout("Jan"), "%B", layout("January"), "%u", strconv.Itoa((int(t.Weekday())+6)%7+1),
	).Replace(format)
}
