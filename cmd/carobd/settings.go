package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"carob/internal/api/launch"
	"carob/internal/config"
	"carob/internal/image/registry"
	"carob/internal/plan/address"
	plan "carob/internal/plan/cgroup"
	"carob/internal/plan/ident"
)

// Where things live when nothing else is said.
const (
	defaultRoot = "/var/lib/carob"
	defaultRun  = "/run/carob"
	// defaultRegistries is where containerd's hosts.toml files are looked for.
	defaultRegistries = "/etc/carob/certs.d"
	// defaultPolicy says which images may be pulled; all when there is no such file.
	defaultPolicy = "/etc/carob/policy.json"
	// defaultStreams is a port of the kernel's choice, which URLs of streams name.
	defaultStreams = "127.0.0.1:0"
	defaultLevel   = "info"
)

// settings is what `carob serve` is told: by flags, by the environment, by the
// configuration file, in this order.
type settings struct {
	config            string
	root, run, socket string
	readyFD           int
	idBase, idSize    uint32
	cgroupDriver      string
	registries        string // directory of hosts.toml files
	policy            string // file that says which images are trusted
	logLevel          string
	level             slog.Level // that logLevel means
	pools             []string   // what networks take their subnets from
	connecting        connecting
	plugging          plugging
	cri               criConfig
	handlerFlags      []string
	handlers          map[string]config.Handler
	metrics           string // address
	tracing           config.Tracing
}

func (s *settings) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.config, "config", "", "configuration `FILE`; "+config.Path+" if it is there")
	f.StringVar(&s.root, "root", s.root, "`DIR` for images, volumes and logs")
	f.StringVar(&s.run, "run", s.run, "`DIR` for what lives as long as the machine runs")
	f.StringVar(&s.socket, "socket", s.socket, "`PATH` of the API's socket")
	f.Uint32Var(&s.idBase, "userns-base", 0, "first host `ID` for user namespaces of pods")
	f.Uint32Var(&s.idSize, "userns-size", 0, "`NUMBER` of host IDs for user namespaces of pods")
	f.StringVar(&s.cgroupDriver, "cgroup-driver", "", "`DRIVER` of pods' cgroups: cgroupfs, systemd or auto; "+string(plan.Auto))
	f.StringVar(&s.registries, "registry-config", "", "`DIR` with HOST/hosts.toml for mirrors, certificates and plain HTTP; "+defaultRegistries)
	f.StringVar(&s.policy, "policy", "", "`FILE` that says which images may be pulled, in the form of containers-policy.json(5); "+defaultPolicy)
	f.StringSliceVar(&s.pools, "address-pool", nil, "`CIDR` that networks take their subnets from, one per family; "+address.DefaultPool4().String()+" and a /48 of this machine's when not given")
	s.connecting.bind(f)
	s.plugging.bind(f)
	f.StringVar(&s.cri.socket, "cri-socket", "", "`PATH` of the kubelet's socket (CRI v1), or none; carob.sock in the run directory")
	f.StringVar(&s.cri.streams, "cri-streams", "", "`ADDRESS` where the kubelet finds streams of exec, attach and port-forward; "+defaultStreams)
	f.StringVar(&s.logLevel, "log-level", "", "`LEVEL` of what is logged: debug, info, warn or error; "+defaultLevel)
	f.StringArrayVar(&s.handlerFlags, "handler", nil, "OCI runtime that pods may choose, `NAME=PATH[,FLAG[=VALUE]…]` with global flags of its own; repeatable")
	f.IntVar(&s.readyFD, "ready-fd", 0, "write a line to this descriptor when ready")
	_ = f.MarkHidden("ready-fd") // it was made in the line above
}

// complete reads the configuration file and fills in what flags and environment have not
// said. The receiver stays as it was said.
func (s settings) complete() (settings, error) {
	file, err := readConfig(s.config)
	if err != nil {
		return s, err
	}
	s.root = cmp.Or(s.root, file.Root, defaultRoot)
	s.run = cmp.Or(s.run, file.Run, defaultRun)
	s.socket = cmp.Or(s.socket, file.Socket, filepath.Join(s.run, launch.SocketName))
	for _, path := range []*string{&s.root, &s.run, &s.socket} { // others resolve them elsewhere
		if *path, err = filepath.Abs(*path); err != nil {
			return s, err
		}
	}
	s.idBase = cmp.Or(s.idBase, file.Userns.Base, ident.DefaultBase)
	s.idSize = cmp.Or(s.idSize, file.Userns.Size, 1<<31-ident.DefaultBase)
	s.cgroupDriver = cmp.Or(s.cgroupDriver, file.CgroupDriver, string(plan.Auto))
	s.registries = cmp.Or(s.registries, file.RegistryConfig, defaultRegistries)
	s.policy = cmp.Or(s.policy, file.Policy)
	if s.policy != "" { // one that was asked for has to be there
		if err := registry.CheckPolicy(s.policy); err != nil {
			return s, err
		}
	}
	s.policy = cmp.Or(s.policy, defaultPolicy)
	if len(s.pools) == 0 {
		s.pools = file.Network.AddressPools
	}
	s.connecting.complete(file.Network)
	s.plugging.complete(file)
	s.cri.socket = cmp.Or(s.cri.socket, file.CRISocket, filepath.Join(s.run, "carob.sock"))
	s.cri.streams = cmp.Or(s.cri.streams, file.CRIStreams, defaultStreams)
	s.logLevel = cmp.Or(s.logLevel, file.LogLevel, defaultLevel)
	if s.level, err = config.Level(s.logLevel); err != nil {
		return s, fmt.Errorf("--log-level: %w", err)
	}
	s.metrics, s.tracing = file.Metrics.Address, file.Tracing
	s.handlers, err = withFlags(withWellKnown(file.Handlers), s.handlerFlags)
	return s, err
}

func withFlags(all map[string]config.Handler, flags []string) (map[string]config.Handler, error) {
	for _, flag := range flags {
		name, h, err := config.ParseHandler(flag)
		if err != nil {
			return nil, err
		}
		all[name] = h
	}
	return all, nil
}

// readConfig reads the file that was named, or the usual one if there is one.
func readConfig(path string) (config.File, error) {
	f, err := os.Open(cmp.Or(path, config.Path))
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		return config.File{}, nil
	}
	if err != nil {
		return config.File{}, err
	}
	defer func() { _ = f.Close() }() // only read from
	return config.Parse(f.Name(), f)
}
