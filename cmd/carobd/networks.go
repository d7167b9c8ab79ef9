package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/pflag"

	"carob/internal/config"
	"carob/internal/fault"
	"carob/internal/network"
	"carob/internal/network/cni"
	"carob/internal/network/names"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/store"
)

// connecting is what `carob serve` is told about what connects pods.
type connecting struct {
	mode, confDir string
	binDirs       []string
}

func (c *connecting) bind(f *pflag.FlagSet) {
	f.StringVar(&c.mode, "network", "", "what connects pods: auto (CNI plugins where they are configured, else carob itself), cni or builtin; "+cni.Auto)
	f.StringVar(&c.confDir, "cni-conf-dir", "", "`DIR` of CNI configurations; "+defaultConfDir)
	f.StringSliceVar(&c.binDirs, "cni-bin-dir", nil, "`DIR`s of CNI plugins; /opt/cni/bin and /usr/lib/cni")
}

// defaultConfDir is where every CNI runtime looks.
const defaultConfDir = "/etc/cni/net.d"

// complete fills in what no flag has said.
func (c *connecting) complete(file config.Network) {
	c.mode = cmp.Or(c.mode, file.Driver, cni.Auto)
	c.confDir = cmp.Or(c.confDir, file.CNIConfDir, defaultConfDir)
	for _, dirs := range [][]string{file.CNIBinDirs, {"/opt/cni/bin", "/usr/lib/cni"}} {
		if len(c.binDirs) == 0 {
			c.binDirs = dirs
		}
	}
}

// connections connects pods, by plugins or by the built-in network.
type connections struct {
	cni.Choice
	builtin *network.Builtin
	names   *names.Server
	// engine is known after both: see know.
	engine atomic.Pointer[pod.Engine]
}

// know tells who has the names of containers.
func (c *connections) know(e *pod.Engine) { c.engine.Store(e) }

// containers are all containers by the ID of their pod.
func (c *connections) containers() map[string][]names.Container {
	e := c.engine.Load()
	if e == nil {
		return nil
	}
	all := map[string][]names.Container{}
	for _, one := range e.Containers(status.Filter{}) {
		all[one.PodID] = append(all[one.PodID], names.Container{ID: one.ID, Name: one.Name})
	}
	return all
}

// openConnections opens the records, too, among which the built-in network has its own.
func openConnections(c settings, log *slog.Logger) (*store.Store, *connections, error) {
	records, builtin, err := openNetworks(c, log)
	if err != nil {
		return nil, nil, err
	}
	plugins, err := c.connecting.open(c.root, log)
	if err != nil {
		return nil, nil, errors.Join(err, builtin.Close())
	}
	all := &connections{builtin: builtin}
	all.names = names.New(names.Config{Containers: all.containers, ResolvConf: "/etc/resolv.conf", Log: log})
	all.Choice = cni.Choice{Mode: c.connecting.mode, CNI: plugins, Builtin: names.Network{Builtin: builtin, Server: all.names}}
	return records, all, nil
}

// Close ends what they do on their own account. Pods stay connected.
func (c *connections) Close() error {
	return errors.Join(c.CNI.Close(), c.names.Close(), c.builtin.Close())
}

// open opens what connects pods by plugins. Its records outlive a restart of the machine,
// as what plugins keep does.
func (c *connecting) open(root string, log *slog.Logger) (*cni.Network, error) {
	if !slices.Contains(cni.Modes(), c.mode) {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("--network %.40q: use %s", c.mode, strings.Join(cni.Modes(), ", ")))
	}
	dir := filepath.Join(root, "cni")
	records, err := store.Open(dir)
	if err != nil {
		return nil, err
	}
	return cni.Open(cni.Config{
		ConfDir: c.confDir, BinDirs: c.binDirs, CacheDir: filepath.Join(dir, "cache"), Records: records, Log: log,
	})
}

// shown is the networks of both kinds, as the API shows them. Those of plugins are files,
// made and removed by others.
type shown struct {
	*network.Builtin
	plugins *cni.Network
}

// Networks returns the networks of both kinds.
func (s shown) Networks() []status.Network { return append(s.plugins.Shown(), s.Builtin.Networks()...) }

// Network returns one network; of two with one name that of the plugins, which pods get.
func (s shown) Network(name string) (status.Network, error) {
	for _, n := range s.plugins.Shown() {
		if n.Name == name {
			return n, nil
		}
	}
	return s.Builtin.Network(name)
}

// Create makes a network, but none that a CNI configuration would stand before.
func (s shown) Create(ctx context.Context, n spec.Network) (status.Network, error) {
	if slices.Contains(s.plugins.Networks(), n.Name) {
		return status.Network{}, fault.New(fault.Exists, "network "+n.Name+": a CNI configuration has this name")
	}
	return s.Builtin.Create(ctx, n)
}
