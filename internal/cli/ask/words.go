package ask

import (
	"bufio"
	"bytes"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/spec"
)

// environment joins --env-file and -e; later words win in the container.
func environment(files, words []string, h Host) ([]string, error) {
	var env []string
	for _, f := range files {
		lines, err := wordFile("env-file", f, h)
		if err != nil {
			return nil, err
		}
		env = append(env, lines...)
	}
	for _, w := range words {
		name, _, given := strings.Cut(w, "=")
		if name == "" {
			return nil, bad("env", w, "no name before =")
		}
		if strings.ContainsRune(w, 0) {
			return nil, bad("env", w, "contains a zero byte")
		}
		if given {
			env = append(env, w)
		} else if v, ok := h.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env, nil
}

// wordFile reads Docker's env-file format: NAME=value as it stands, NAME alone from
// the environment, # comments, no quoting.
func wordFile(flag, path string, h Host) ([]string, error) {
	b, err := h.ReadFile(path)
	if err != nil {
		return nil, bad(flag, path, err.Error())
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	var words []string
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeftFunc(lines.Text(), unicode.IsSpace)
		if line == "" || line[0] == '#' {
			continue
		}
		name, _, given := strings.Cut(line, "=")
		switch {
		case !utf8.ValidString(line), strings.ContainsRune(line, 0):
			return nil, bad(flag, path, "line "+strconv.Itoa(n)+": not text")
		case name == "" || strings.ContainsFunc(name, unicode.IsSpace):
			return nil, bad(flag, path, "line "+strconv.Itoa(n)+": \""+name+"\" is not a name")
		case given:
			words = append(words, line)
		default:
			if v, ok := h.LookupEnv(name); ok {
				words = append(words, name+"="+v)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, bad(flag, path, err.Error())
	}
	return words, nil
}

// pairs reads key=value words; a key alone has an empty value.
func pairs(flag string, words []string) (map[string]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	m := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		if k == "" {
			return nil, bad(flag, w, "no key before =")
		}
		m[k] = v
	}
	return m, nil
}

// labels joins --label-file and --label.
func labels(files, words []string, h Host) (map[string]string, error) {
	var all []string
	for _, f := range files {
		lines, err := wordFile("label-file", f, h)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	return pairs("label", append(all, words...))
}

var rlimits = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
	"rttime", "sigpending", "stack",
}

// ulimits reads name=soft[:hard]; -1 is unlimited.
func ulimits(words []string) ([]specs.POSIXRlimit, error) {
	var all []specs.POSIXRlimit
	for _, w := range words {
		name, values, _ := strings.Cut(w, "=")
		if !slices.Contains(rlimits, name) {
			return nil, bad("ulimit", w, "unknown name (nofile, nproc, core, …)")
		}
		s, hd, two := strings.Cut(values, ":")
		soft, ok := limit(s)
		hard := soft
		if two && ok {
			hard, ok = limit(hd)
		}
		if !ok {
			return nil, bad("ulimit", w, "not name=soft[:hard]")
		}
		if soft > hard {
			return nil, bad("ulimit", w, "soft limit above the hard limit")
		}
		l := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: soft, Hard: hard}
		all = slices.DeleteFunc(all, func(o specs.POSIXRlimit) bool { return o.Type == l.Type })
		all = append(all, l)
	}
	return all, nil
}

func limit(s string) (uint64, bool) {
	if s == "-1" {
		return math.MaxUint64, true
	}
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil
}

// hosts reads name:ip and name=ip.
func hosts(words []string) ([]spec.HostAlias, error) {
	var all []spec.HostAlias
	for _, w := range words {
		name, ip, ok := strings.Cut(w, "=")
		if !ok {
			name, ip, ok = strings.Cut(w, ":")
		}
		if !ok || name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			return nil, bad("add-host", w, "not NAME:IP")
		}
		if ip != spec.HostGateway {
			addr, err := netip.ParseAddr(strings.Trim(ip, "[]"))
			if err != nil {
				return nil, bad("add-host", w, "not an IP address, nor "+spec.HostGateway+": "+ip)
			}
			ip = addr.String()
		}
		i := slices.IndexFunc(all, func(a spec.HostAlias) bool { return a.IP == ip })
		if i < 0 {
			all = append(all, spec.HostAlias{IP: ip})
			i = len(all) - 1
		}
		all[i].Hostnames = append(all[i].Hostnames, name)
	}
	return all, nil
}

// resolver is what resolv.conf says instead of the host's; nil keeps all of that.
func resolver(servers, searches, options []string) (*spec.DNS, error) {
	if len(servers)+len(searches)+len(options) == 0 {
		return nil, nil
	}
	d := &spec.DNS{Policy: spec.DNSFill, Searches: searches, Options: options}
	for _, s := range servers {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return nil, bad("dns", s, "not an IP address")
		}
		d.Nameservers = append(d.Nameservers, addr.String())
	}
	return d, nil
}

// Restart reads no, always, unless-stopped, on-failure[:N].
func Restart(s string) (spec.Restart, error) {
	name, n, bounded := strings.Cut(s, ":")
	var r spec.Restart
	switch name {
	case "", "no":
	case "always", "unless-stopped", "on-failure":
		r.Policy = spec.RestartPolicy(name)
	default:
		return r, bad("restart", s, "not one of no, on-failure[:N], always, unless-stopped")
	}
	if bounded {
		tries, err := strconv.Atoi(n)
		switch {
		case name != "on-failure":
			return r, bad("restart", s, "a number of retries goes with on-failure only")
		case err != nil || tries < 0:
			return r, bad("restart", s, "not a number of retries")
		}
		r.MaxRetries = tries
	}
	return r, nil
}
