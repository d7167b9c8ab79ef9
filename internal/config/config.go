// Package config reads the daemon's configuration file, /etc/carob/config.toml. What
// the file does not say has a default; what it says wrongly is an error with file and
// line. It opens nothing.
package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"carob/internal/fault"
)

// Path is where the file is looked for when nothing else is said.
const Path = "/etc/carob/config.toml"

// maxSize bounds the file, in bytes.
const maxSize = 1 << 20

// File is the configuration. A zero value is not said.
type File struct {
	// Root has images, volumes and logs; Run what lives as long as the machine runs; Socket is the
	// API's.
	Root   string `toml:"root"`
	Run    string `toml:"run"`
	Socket string `toml:"socket"`
	Userns Userns `toml:"userns"`
	// CgroupDriver is auto, cgroupfs or systemd.
	CgroupDriver string `toml:"cgroup-driver"`
	// RegistryConfig is the directory of containerd's hosts.toml files, Policy the file that
	// says which images may be pulled.
	RegistryConfig string  `toml:"registry-config"`
	Policy         string  `toml:"policy"`
	Network        Network `toml:"network"`
	// CDISpecDirs have the specifications of CDI devices, the later ones before the earlier.
	CDISpecDirs []string `toml:"cdi-spec-dirs"`
	NRI         NRI      `toml:"nri"`
	// Handlers are OCI runtimes by the name that pods choose them by.
	Handlers map[string]Handler `toml:"handlers"`
}

// Userns is the range of the host's ids that pods' user namespaces get.
type Userns struct {
	Base uint32 `toml:"base"`
	Size uint32 `toml:"size"`
}

// Network is what connects pods.
type Network struct {
	// Driver is auto, cni or builtin.
	Driver string `toml:"driver"`
	// AddressPools are where the built-in network takes its subnets from, one prefix per
	// family.
	AddressPools []string `toml:"address-pools"`
	// CNIConfDir has CNI configurations, CNIBinDirs have plugins.
	CNIConfDir string   `toml:"cni-conf-dir"`
	CNIBinDirs []string `toml:"cni-bin-dirs"`
}

// NRI is the Node Resource Interface: plugins that see and change containers.
type NRI struct {
	Enable bool `toml:"enable"`
	// Socket is where plugins connect. PluginDir has plugins that the daemon starts, ConfigDir
	// their configurations.
	Socket    string `toml:"socket"`
	PluginDir string `toml:"plugin-dir"`
	ConfigDir string `toml:"plugin-config-dir"`
	// Registration and Request bound how long a plugin may take to register, and to answer.
	Registration Duration `toml:"registration-timeout"`
	Request      Duration `toml:"request-timeout"`
}

// Duration is written like "2s" or "500ms".
type Duration time.Duration

// UnmarshalText reads a duration above 0.
func (d *Duration) UnmarshalText(text []byte) error {
	n, err := time.ParseDuration(string(text))
	if err != nil || n <= 0 {
		return fault.New(fault.Invalid, fmt.Sprintf("%.40q is not a duration above 0, like \"2s\"", text))
	}
	*d = Duration(n)
	return nil
}

// Handler is an OCI runtime.
type Handler struct {
	// Path is its binary's.
	Path string `toml:"path"`
	// Options are its global flags without the dashes: "platform=systrap", "debug".
	Options []string `toml:"options"`
}

//go:embed default.toml
var defaults string

// Default is a file that says what is so when there is none, with comments.
func Default() string { return defaults }

// Parse reads a file; name is for errors, which are Invalid.
func Parse(name string, r io.Reader) (File, error) {
	var f File
	limited := &io.LimitedReader{R: r, N: maxSize + 1}
	text, err := io.ReadAll(limited)
	if err != nil {
		return f, fmt.Errorf("%s: %w", name, err)
	}
	if limited.N == 0 {
		return f, fault.New(fault.Invalid, fmt.Sprintf("%s: larger than %d bytes", name, maxSize))
	}
	d := toml.NewDecoder(strings.NewReader(string(text)))
	if err := d.DisallowUnknownFields().Decode(&f); err != nil {
		return File{}, located(name, err)
	}
	if err := f.check(); err != nil {
		return File{}, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// located puts file and line in front of what is wrong.
func located(name string, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var all []error
		for _, e := range unknown.Errors {
			row, _ := e.Position()
			all = append(all, fault.New(fault.Invalid, fmt.Sprintf("%s:%d: %s: there is no such setting", name, row, strings.Join(e.Key(), "."))))
		}
		return errors.Join(all...)
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		row, column := wrong.Position()
		return fault.New(fault.Invalid, fmt.Sprintf("%s:%d:%d: %s", name, row, column, strings.TrimPrefix(wrong.Error(), "toml: ")))
	}
	return fault.Wrap(fault.Invalid, name, err)
}

func (f File) check() error {
	for key, dir := range map[string]string{
		"root": f.Root, "run": f.Run, "socket": f.Socket, "registry-config": f.RegistryConfig, "policy": f.Policy, "network.cni-conf-dir": f.Network.CNIConfDir,
		"nri.socket": f.NRI.Socket, "nri.plugin-dir": f.NRI.PluginDir, "nri.plugin-config-dir": f.NRI.ConfigDir,
	} {
		if dir != "" && !path.IsAbs(dir) {
			return fault.New(fault.Invalid, fmt.Sprintf("%s: %q is not an absolute path", key, dir))
		}
	}
	for _, dir := range f.CDISpecDirs {
		if !path.IsAbs(dir) {
			return fault.New(fault.Invalid, fmt.Sprintf("cdi-spec-dirs: %q is not an absolute path", dir))
		}
	}
	for name, h := range f.Handlers {
		if err := h.check(name); err != nil {
			return err
		}
	}
	return nil
}

func (h Handler) check(name string) error {
	subject := fmt.Sprintf("handlers.%.80s", name)
	bad := func(why string) error { return fault.New(fault.Invalid, subject+": "+why) }
	switch {
	case name == "" || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "":
		return bad("a name has 1 to 63 lower-case letters, digits, '-' or '.', as a Kubernetes RuntimeClass's handler")
	case name == "native":
		return bad("native is carob's own")
	case !path.IsAbs(h.Path):
		return bad(fmt.Sprintf("path %q is not an absolute path", h.Path))
	}
	for _, o := range h.Options {
		if o == "" || strings.HasPrefix(o, "-") || strings.ContainsAny(o, "\x00\n") {
			return bad(fmt.Sprintf("option %q: want FLAG or FLAG=VALUE, without dashes", o))
		}
	}
	return nil
}

// ParseHandler reads a handler as the command line has it: NAME=PATH[,FLAG[=VALUE]…].
func ParseHandler(s string) (name string, h Handler, err error) {
	name, rest, ok := strings.Cut(s, "=")
	if !ok {
		return "", h, fault.New(fault.Invalid, fmt.Sprintf("--handler %.80q: want NAME=PATH[,FLAG[=VALUE]…]", s))
	}
	words := strings.Split(rest, ",")
	h = Handler{Path: words[0], Options: words[1:]}
	if err := h.check(name); err != nil {
		return "", h, fmt.Errorf("--handler: %w", err)
	}
	return name, h, nil
}
