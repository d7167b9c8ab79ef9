package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
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
)

// settings is what `carob serve` is told: by flags, by the environment, by the
// configuration file, in this order.
type settings struct {
	config            string
	root, run, socket string
	readyFD           int
	idBase, idSize    uint32
	cgroupDriver      string
	registries        string   // directory of hosts.toml files
	policy            string   // file that says which images are trusted
	pools             []string // what networks take their subnets from
	connecting        connecting
	plugging          plugging
	cri               criConfig
	handlerFlags      []string
	handlers          map[string]config.Handler
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
	f.StringVar(&s.cri.streams, "cri-streams", "127.0.0.1:0", "`ADDRESS` where the kubelet finds streams of exec, attach and port-forward")
	f.StringArrayVar(&s.handlerFlags, "handler", nil, "OCI runtime that pods may choose, `NAME=PATH[,FLAG[=VALUE]…]` with global flags of its own; repeatable")
	f.IntVar(&s.readyFD, "ready-fd", 0, "write a line to this descriptor when ready")
	_ = f.MarkHidden("ready-fd") // it was made in the line above
}

// complete reads the configuration file and fills in what nobody has said.
func (s *settings) complete() error {
	file, err := readConfig(s.config)
	if err != nil {
		return err
	}
	s.root = cmp.Or(s.root, file.Root, defaultRoot)
	s.run = cmp.Or(s.run, file.Run, defaultRun)
	s.socket = cmp.Or(s.socket, file.Socket, filepath.Join(s.run, launch.SocketName))
	s.idBase = cmp.Or(s.idBase, file.Userns.Base, ident.DefaultBase)
	s.idSize = cmp.Or(s.idSize, file.Userns.Size, 1<<31-ident.DefaultBase)
	s.cgroupDriver = cmp.Or(s.cgroupDriver, file.CgroupDriver, string(plan.Auto))
	s.registries = cmp.Or(s.registries, file.RegistryConfig, defaultRegistries)
	s.policy = cmp.Or(s.policy, file.Policy)
	if s.policy != "" { // one that was asked for has to be there
		if err := registry.CheckPolicy(s.policy); err != nil {
			return err
		}
	}
	s.policy = cmp.Or(s.policy, defaultPolicy)
	if len(s.pools) == 0 {
		s.pools = file.Network.AddressPools
	}
	s.connecting.complete(file.Network)
	s.plugging.complete(file)
	s.handlers = file.Handlers
	if s.handlers == nil {
		s.handlers = map[string]config.Handler{}
	}
	for _, flag := range s.handlerFlags {
		name, h, err := config.ParseHandler(flag)
		if err != nil {
			return err
		}
		s.handlers[name] = h
	}
	return nil
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

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "config COMMAND", Short: "The daemon's configuration file",
		Long: "The daemon reads " + config.Path + `, or the file that ` + "`carob serve --config FILE`" + ` names. Without a file
everything has its default; flags of carob serve go before what the file says.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use: "default", Short: "Print a file that says what is so without one", Args: cobra.NoArgs,
		Example: "  carob config default > " + config.Path,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Print(config.Default())
			return err
		},
	}, &cobra.Command{
		Use: "check [FILE]", Short: "Say what is wrong with a file, with line numbers", Args: cobra.MaximumNArgs(1),
		Example: "  carob config check ./config.toml",
		RunE: func(_ *cobra.Command, args []string) error {
			path := config.Path
			if len(args) > 0 {
				path = args[0]
			}
			_, err := readConfig(path)
			return err
		},
	})
	return c
}
