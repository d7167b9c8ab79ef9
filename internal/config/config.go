// Package config reads the daemon's configuration file, /etc/carob/config.toml. What
// the file does not say has a default; what it says wrongly is an error with file and
// line. It opens nothing.
package config

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

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
	// CRISocket is the kubelet's, or none; CRIStreams where it finds streams.
	CRISocket  string `toml:"cri-socket"`
	CRIStreams string `toml:"cri-streams"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `toml:"log-level"`
	Userns   Userns `toml:"userns"`
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
	Metrics  Metrics            `toml:"metrics"`
	Tracing  Tracing            `toml:"tracing"`
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

// Metrics says where Prometheus finds the daemon's figures.
type Metrics struct {
	// Address is HOST:PORT or the absolute path of a socket; empty serves none.
	Address string `toml:"address"`
}

// Tracing says where traces go.
type Tracing struct {
	// Endpoint is HOST:PORT of an OTLP collector that speaks gRPC; empty makes none.
	Endpoint string `toml:"endpoint"`
	// Sampling is the share of the calls that are traced, from 0 to 1, of those whose
	// caller has not decided; nil is all.
	Sampling *float64 `toml:"sampling"`
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
	d := toml.NewDecoder(bytes.NewReader(text))
	if err := d.DisallowUnknownFields().Decode(&f); err != nil {
		return File{}, located(name, err)
	}
	if wrong := f.check(); wrong != nil {
		return File{}, fault.New(fault.Invalid, fmt.Sprintf("%s:%d: %s", name, line(text, wrong.key), wrong.Error()))
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

// line is where a setting stands in a text that is TOML: where its key does, or the key of
// what it is missing in. The library tells positions of what it cannot decode only.
func line(text []byte, key []string) int {
	var p unstable.Parser
	p.Reset(text)
	at, deepest := 1, 0
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		var path []string
		if e.Kind == unstable.KeyValue {
			path = append(path, table...)
		}
		row := 1
		for k := e.Key(); k.Next(); {
			path = append(path, string(k.Node().Data))
			row = p.Shape(k.Node().Raw).Start.Line
		}
		if e.Kind != unstable.KeyValue {
			table = path
		}
		if n := common(key, path); n > deepest {
			at, deepest = row, n
		}
	}
	return at
}

// common counts the words that both begin with.
func common(a, b []string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
