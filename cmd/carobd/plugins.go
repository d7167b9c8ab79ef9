package main

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"carob/internal/cdi"
	"carob/internal/config"
	"carob/internal/nri"
	"carob/internal/pod"
	"carob/internal/pod/plugin"
)

// plugging is what `carob serve` is told about what changes containers: devices that others
// describe, and plugins.
type plugging struct {
	cdiDirs []string
	nri     config.NRI
}

func (p *plugging) bind(f *pflag.FlagSet) {
	f.StringSliceVar(&p.cdiDirs, "cdi-spec-dir", nil, "`DIR`s that describe CDI devices, the later ones before the earlier; /etc/cdi and /var/run/cdi")
}

// complete fills in what no flag has said.
func (p *plugging) complete(file config.File) {
	for _, dirs := range [][]string{file.CDISpecDirs, {"/etc/cdi", "/var/run/cdi"}} {
		if len(p.cdiDirs) == 0 {
			p.cdiDirs = dirs
		}
	}
	p.nri = file.NRI
	p.nri.Socket = cmp.Or(p.nri.Socket, "/var/run/nri/nri.sock")
	p.nri.PluginDir = cmp.Or(p.nri.PluginDir, "/opt/nri/plugins")
	p.nri.ConfigDir = cmp.Or(p.nri.ConfigDir, "/etc/nri/conf.d")
	p.nri.Registration = cmp.Or(p.nri.Registration, config.Duration(5*time.Second))
	p.nri.Request = cmp.Or(p.nri.Request, config.Duration(5*time.Second))
}

// plugged is what changes containers.
type plugged struct {
	devices *cdi.Store
	hooks   plugin.Hooks
	// plugins is nil without NRI.
	plugins *nri.Plugins
}

func openPlugins(p plugging, log *slog.Logger) (*plugged, error) {
	all := &plugged{devices: cdi.New(p.cdiDirs), hooks: plugin.None{}}
	if !p.nri.Enable {
		return all, nil
	}
	nri.LogTo(log)
	var err error
	all.plugins, err = nri.New(nri.Config{
		Socket: p.nri.Socket, PluginDir: p.nri.PluginDir, ConfigDir: p.nri.ConfigDir, Devices: all.devices,
		Registration: time.Duration(p.nri.Registration), Request: time.Duration(p.nri.Request), Version: version, Log: log,
	})
	all.hooks = all.plugins
	return all, err
}

// serve lets plugins in.
func (p *plugged) serve(e *pod.Engine) error {
	if p.plugins == nil {
		return nil
	}
	return p.plugins.Serve(e)
}

// Close sends plugins away.
func (p *plugged) Close() error {
	if p.plugins == nil {
		return nil
	}
	return p.plugins.Close()
}
