package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/plan/address"
	"carob/internal/plan/ident"
)

// wrong is a setting that cannot be.
type wrong struct {
	key []string
	why string
}

func (w *wrong) Error() string { return strings.Join(w.key, ".") + ": " + w.why }

// check returns what is wrong with the file, in the order of the fields.
func (f File) check() *wrong {
	for _, p := range []struct{ key, dir string }{
		{"root", f.Root}, {"run", f.Run}, {"socket", f.Socket}, {"registry-config", f.RegistryConfig}, {"policy", f.Policy},
		{"network.cni-conf-dir", f.Network.CNIConfDir}, {"nri.socket", f.NRI.Socket}, {"nri.plugin-dir", f.NRI.PluginDir},
		{"nri.plugin-config-dir", f.NRI.ConfigDir},
	} {
		if p.dir != "" && !path.IsAbs(p.dir) {
			return &wrong{strings.Split(p.key, "."), fmt.Sprintf("%q is not an absolute path", p.dir)}
		}
	}
	for _, c := range []struct {
		key   string
		value string
		check func(string) error
	}{
		{"cri-socket", f.CRISocket, checkSocket}, {"cri-streams", f.CRIStreams, checkTCP}, {"log-level", f.LogLevel, checkLevel},
		{"cgroup-driver", f.CgroupDriver, oneOf("auto", "cgroupfs", "systemd")}, {"network.driver", f.Network.Driver, oneOf("auto", "cni", "builtin")},
		{"metrics.address", f.Metrics.Address, CheckAddress}, {"tracing.endpoint", f.Tracing.Endpoint, checkTCP},
	} {
		if c.value == "" {
			continue
		}
		if err := c.check(c.value); err != nil {
			return &wrong{strings.Split(c.key, "."), err.Error()}
		}
	}
	if w := f.checkRanges(); w != nil {
		return w
	}
	for _, name := range slices.Sorted(maps.Keys(f.Handlers)) {
		if w := f.Handlers[name].check(name); w != nil {
			return w
		}
	}
	return nil
}

// checkRanges returns what is wrong with numbers and addresses.
func (f File) checkRanges() *wrong {
	base, size := cmp.Or(f.Userns.Base, ident.DefaultBase), cmp.Or(f.Userns.Size, 1<<31-ident.DefaultBase)
	if _, err := ident.Allocate(nil, base, size, ident.DefaultCount); err != nil {
		return &wrong{[]string{"userns"}, err.Error()}
	}
	if _, err := address.Pools(f.Network.AddressPools); err != nil {
		return &wrong{[]string{"network", "address-pools"}, err.Error()}
	}
	for _, dir := range f.Network.CNIBinDirs {
		if !path.IsAbs(dir) {
			return &wrong{[]string{"network", "cni-bin-dirs"}, fmt.Sprintf("%q is not an absolute path", dir)}
		}
	}
	for _, dir := range f.CDISpecDirs {
		if !path.IsAbs(dir) {
			return &wrong{[]string{"cdi-spec-dirs"}, fmt.Sprintf("%q is not an absolute path", dir)}
		}
	}
	if s := f.Tracing.Sampling; s != nil && !(*s >= 0 && *s <= 1) {
		return &wrong{[]string{"tracing", "sampling"}, strconv.FormatFloat(*s, 'g', -1, 64) + " is not between 0 and 1"}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, fmt.Sprintf(format, args...))
}

func checkSocket(s string) error {
	if s != "none" && !path.IsAbs(s) {
		return invalid("%.200q is neither an absolute path nor none", s)
	}
	return nil
}

func checkTCP(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return invalid("%.200q: want HOST:PORT", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return invalid("%.200q: the port is not a number up to 65535", s)
	}
	return nil
}

func checkLevel(s string) error {
	_, err := Level(s)
	return err
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return invalid("%.40q: use %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

// CheckAddress refuses what is neither HOST:PORT nor the absolute path of a socket.
func CheckAddress(s string) error {
	if path.IsAbs(s) {
		return nil
	}
	return checkTCP(s)
}

// Level reads a level of the log: debug, info, warn or error.
func Level(s string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if s == strings.ToLower(l.String()) {
			return l, nil
		}
	}
	return 0, invalid("%.40q: use debug, info, warn, error", s)
}

func (h Handler) check(name string) *wrong {
	bad := func(why string, field ...string) *wrong {
		return &wrong{append([]string{"handlers", fmt.Sprintf("%.80s", name)}, field...), why}
	}
	switch {
	case name == "" || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "":
		return bad("a name has 1 to 63 lower-case letters, digits, '-' or '.', as a Kubernetes RuntimeClass's handler")
	case name == "native":
		return bad("native is carob's own")
	case !path.IsAbs(h.Path):
		return bad(fmt.Sprintf("%q is not an absolute path", h.Path), "path")
	}
	for _, o := range h.Options {
		if o == "" || strings.HasPrefix(o, "-") || strings.ContainsAny(o, "\x00\n") {
			return bad(fmt.Sprintf("%q: want FLAG or FLAG=VALUE, without dashes", o), "options")
		}
	}
	return nil
}

// ParseHandler reads a handler as the command line has it: NAME=PATH[,FLAG[=VALUE]…].
func ParseHandler(s string) (name string, h Handler, err error) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		return "", h, invalid("--handler %.80q: want NAME=PATH[,FLAG[=VALUE]…]", s)
	}
	words := strings.Split(rest, ",")
	h = Handler{Path: words[0], Options: words[1:]}
	if w := h.check(name); w != nil {
		return "", h, invalid("--handler: %s", w.Error())
	}
	return name, h, nil
}
