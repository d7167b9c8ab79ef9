package main

import (
	"github.com/spf13/pflag"

	"carob/internal/config"
)

// plugging is what `carob serve` is told about what changes containers: devices that others
// describe, and plugins.
type plugging struct {
	cdiDirs []string
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
}
