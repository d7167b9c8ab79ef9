package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"carob/internal/network"
	"carob/internal/plan/address"
	"carob/internal/store"
)

// openNetworks opens the records and the built-in network, which keeps its own there.
// Only the daemon with the usual run directory uses the usual names on the host.
func openNetworks(c settings, log *slog.Logger) (*store.Store, *network.Builtin, error) {
	records, err := store.Open(filepath.Join(c.run, "state"))
	if err != nil {
		return nil, nil, err
	}
	n := network.Config{Leases: records, Log: log}
	if n.Pools, err = pools(c); err != nil {
		return nil, nil, err
	}
	if n.Networks, err = store.Open(c.root); err != nil {
		return nil, nil, err
	}
	if c.run != defaultRun {
		n.Instance = c.run
	}
	return records, network.Open(n), nil
}

// pools are where networks get their subnets from. A machine has always the same ones.
func pools(c settings) ([]netip.Prefix, error) {
	if len(c.pools) > 0 {
		return address.Pools(c.pools)
	}
	machine, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		name, _ := os.Hostname() // any machine has some name, be it an empty one
		machine = []byte(name)
	}
	return []netip.Prefix{address.DefaultPool4(), address.DefaultPool6(strings.TrimSpace(string(machine)))}, nil
}
