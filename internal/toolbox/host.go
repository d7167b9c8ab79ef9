package toolbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func hostTools() []tool.Tool {
	return []tool.Tool{
		{Name: "date", Usage: "[-u] [-d TIME] [-I[date|seconds|ns]] [-R] [+FORMAT]", Does: "print the time", Run: date},
		{Name: "free", Usage: "[-hbkmg]", Does: "show the host's memory", Run: free},
		{Name: "hostname", Usage: "[-fs] [NAME]", Does: "print or set the hostname", Run: hostname},
		{Name: "id", Usage: "[-ugGnr] [USER]", Does: "print user and groups", Run: id},
		{Name: "nproc", Does: "print how many CPUs this process may use", Run: nproc},
		{Name: "printenv", Usage: "[NAME]...", Does: "print the environment", Run: printenv},
		{Name: "pwd", Usage: "[-LP]", Does: "print the working directory", Run: pwd},
		{Name: "uname", Usage: "[-asnrvmpio]", Does: "print the kernel's name and version", Run: uname},
		{Name: "uptime", Does: "show how long the host runs, and its load", Run: uptime},
		{Name: "which", Usage: "[-a] NAME...", Does: "print where commands are", Run: which},
		{Name: "whoami", Does: "print the user's name", Run: whoami},
	}
}

func hostname(c *tool.Call) (int, error) {
	_, rest, err := c.Operands(0, 1, "fs")
	if err != nil {
		return 0, err
	}
	if len(rest) > 0 {
		if err := unix.Sethostname([]byte(rest[0])); err != nil {
			return 0, fmt.Errorf("sethostname: %s", tool.Why(err))
		}
		return 0, nil
	}
	name, err := os.Hostname()
	if err == nil {
		fmt.Fprintln(c.Out, name)
	}
	return 0, err
}

func nproc(c *tool.Call) (int, error) {
	_, err := fmt.Fprintln(c.Out, runtime.NumCPU()) // the affinity mask's, not the host's
	return 0, err
}

func pwd(c *tool.Call) (int, error) {
	o, _, err := c.Parse("LP")
	if err != nil {
		return 0, err
	}
	dir, err := os.Getwd() // by PWD, where that is right
	if o.Has('P') && err == nil {
		dir, err = unix.Getwd()
	}
	if err == nil {
		fmt.Fprintln(c.Out, dir)
	}
	return 0, err
}

func printenv(c *tool.Call) (int, error) {
	_, names, err := c.Parse("")
	if err != nil {
		return 0, err
	}
	if len(names) == 0 {
		fmt.Fprintln(c.Out, strings.Join(os.Environ(), "\n"))
		return 0, nil
	}
	code := 0
	for _, name := range names {
		if v, ok := os.LookupEnv(name); ok {
			fmt.Fprintln(c.Out, v)
		} else {
			code = tool.Failed
		}
	}
	return code, nil
}

func which(c *tool.Call) (int, error) {
	_, names, err := c.Operands(1, -1, "a")
	if err != nil {
		return 0, err
	}
	code := 0
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			code = tool.Failed
			continue
		}
		fmt.Fprintln(c.Out, path)
	}
	return code, nil
}

func uptime(c *tool.Call) (int, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, err
	}
	load := func(i int) float64 { return float64(info.Loads[i]) / (1 << 16) }
	up := time.Duration(info.Uptime) * time.Second
	_, err := fmt.Fprintf(c.Out, " %s up %d days, %02d:%02d, load average: %.2f, %.2f, %.2f\n", time.Now().Format("15:04:05"),
		up/(24*time.Hour), up/time.Hour%24, up/time.Minute%60, load(0), load(1), load(2))
	return 0, err
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

func whoami(c *tool.Call) (int, error) {
	if _, _, err := c.Operands(0, 0, ""); err != nil {
		return 0, err
	}
	_, err := fmt.Fprintln(c.Out, userName(os.Geteuid()))
	return 0, err
}

// identity is what id prints.
type identity struct {
	uid, gid int
	groups   []int // the first is gid
}

func id(c *tool.Call) (int, error) {
	o, rest, err := c.Operands(0, 1, "ugGnr", "user=u", "group=g", "groups=G", "name=n", "real=r")
	if err != nil {
		return 0, err
	}
	who, err := ownIdentity(o)
	if len(rest) == 1 {
		who, err = identityOf(rest[0])
	}
	if err != nil {
		return 0, err
	}
	text := func(n int, name string) string {
		if o.Has('n') {
			return name
		}
		return strconv.Itoa(n)
	}
	var out string
	switch {
	case o.Has('u'):
		out = text(who.uid, userName(who.uid))
	case o.Has('g'):
		out = text(who.gid, groupName(who.gid))
	case o.Has('G'):
		var all []string
		for _, g := range who.groups {
			all = append(all, text(g, groupName(g)))
		}
		out = strings.Join(all, " ")
	case o.Has('n') || o.Has('r'):
		return 0, tool.Misused("cannot print only names or real IDs in default format")
	default:
		out = who.String()
	}
	_, err = fmt.Fprintln(c.Out, out)
	return 0, err
}

func (i identity) String() string {
	show := func(n int, name string) string {
		if name == strconv.Itoa(n) {
			return name
		}
		return fmt.Sprintf("%d(%s)", n, name)
	}
	var all []string
	for _, g := range i.groups {
		all = append(all, show(g, groupName(g)))
	}
	return fmt.Sprintf("uid=%s gid=%s groups=%s", show(i.uid, userName(i.uid)), show(i.gid, groupName(i.gid)), strings.Join(all, ","))
}

func ownIdentity(o tool.Options) (identity, error) {
	who := identity{uid: os.Geteuid(), gid: os.Getegid()}
	if o.Has('r') {
		who = identity{uid: os.Getuid(), gid: os.Getgid()}
	}
	groups, err := os.Getgroups()
	who.groups = append([]int{who.gid}, without(groups, who.gid)...)
	return who, err
}

func identityOf(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return identity{}, fmt.Errorf("'%s': no such user", name)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	ids, err3 := u.GroupIds()
	who := identity{uid: uid, gid: gid, groups: []int{gid}}
	for _, id := range ids {
		if g, err := strconv.Atoi(id); err == nil && g != gid {
			who.groups = append(who.groups, g)
		}
	}
	return who, errors.Join(err1, err2, err3)
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

func uname(c *tool.Call) (int, error) {
	o, _, err := c.Parse("asnrvmpio")
	if err != nil {
		return 0, err
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
		if o.Has(p.letter) || o.Has('a') {
			parts = append(parts, p.text)
		}
	}
	_, err = fmt.Fprintln(c.Out, strings.Join(parts, " "))
	return 0, err
}

// free shows the host's memory: /proc/meminfo knows no containers.
func free(c *tool.Call) (int, error) {
	o, _, err := c.Parse("hkmgb")
	if err != nil {
		return 0, err
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
		case o.Has('h'):
			return tool.Human(v << 10)
		case o.Has('b'):
			v <<= 10
		case o.Has('m'):
			v >>= 10
		case o.Has('g'):
			v >>= 20
		}
		return strconv.FormatUint(v, 10)
	}
	kib["used"] = kib["MemTotal"] - min(kib["MemAvailable"], kib["MemTotal"])
	kib["swapUsed"] = kib["SwapTotal"] - kib["SwapFree"]
	fmt.Fprintf(c.Out, "%-6s %12s %12s %12s %12s\n", "", "total", "used", "free", "available")
	fmt.Fprintf(c.Out, "%-6s %12s %12s %12s %12s\n", "Mem:", show("MemTotal"), show("used"), show("MemFree"), show("MemAvailable"))
	fmt.Fprintf(c.Out, "%-6s %12s %12s %12s\n", "Swap:", show("SwapTotal"), show("swapUsed"), show("SwapFree"))
	return 0, nil
}

// date prints the time now, or the one that -d gives; its formats are strftime(3)'s
// common letters.
func date(c *tool.Call) (int, error) {
	args := slices.Clone(c.Args)
	for i, a := range args { // -I has an optional value, which is attached
		if rest, ok := strings.CutPrefix(a, "-I"); ok {
			args[i] = "-I" + cmp.Or(rest, "date")
		}
	}
	c.Args = args
	o, rest, err := c.Operands(0, 1, "uI:Rd:", "utc=u", "date=d", "rfc-email=R")
	if err != nil {
		return 0, err
	}
	when, err := dateTime(o['d'])
	if err != nil {
		return 0, err
	}
	if o.Has('u') {
		when = when.UTC()
	}
	format, err := dateFormat(o, rest)
	if err == nil {
		_, err = fmt.Fprintln(c.Out, strftime(format, when))
	}
	return 0, err
}

func dateFormat(o tool.Options, rest []string) (string, error) {
	switch {
	case o.Has('I'):
		format, ok := map[string]string{"date": "%F", "seconds": "%FT%T%:z", "ns": "%FT%T,%N%:z"}[o['I']]
		if !ok {
			return "", tool.Invalid("invalid argument '%s' for '-I'", o['I'])
		}
		return format, nil
	case o.Has('R'):
		return "%a, %d %b %Y %T %z", nil
	case len(rest) == 0:
		return "%a %b %e %H:%M:%S %Z %Y", nil
	case strings.HasPrefix(rest[0], "+"):
		return rest[0][1:], nil
	}
	return "", tool.Invalid("invalid date '%s': setting the clock is not for a container", rest[0])
}

func dateTime(text string) (time.Time, error) {
	if text == "" || text == "now" {
		return time.Now(), nil
	}
	if seconds, ok := strings.CutPrefix(text, "@"); ok {
		if n, err := strconv.ParseInt(seconds, 10, 62); err == nil {
			return time.Unix(n, 0), nil
		}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, tool.Invalid("invalid date '%s'", text)
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
