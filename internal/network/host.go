package network

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/address"
	"carob/internal/sys/link"
	"carob/internal/sys/nft"
)

// host is what was changed of the host as a whole: the record. It is guarded by
// Builtin.turn.
type host struct {
	// Up says that the table is there.
	Up bool `json:"up"`
	// Settings are files below /proc/sys with what was in them.
	Settings []setting `json:"settings,omitempty"`
	// Uplinks are the links there were when the host was made a router.
	Uplinks []string `json:"uplinks,omitempty"`
	// Claims are subnets whose unreachable route is there.
	Claims []netip.Prefix `json:"claims,omitempty"`
}

type setting struct {
	Path   string `json:"path"`
	Before string `json:"before"`
	Set    string `json:"set"`
}

const sysctls = "/proc/sys/net/"

// hasIPv6 reports whether a new link will have it. Whoever writes "all" writes "default",
// too.
func hasIPv6() bool {
	v, err := read("ipv6/conf/default/disable_ipv6")
	return err == nil && v == "0"
}

func read(name string) (string, error) {
	text, err := os.ReadFile(sysctls + name)
	return strings.TrimSpace(string(text)), err
}

// prepare makes the host ready for pods in these networks. The caller holds turn for
// reading, before and after; it is given up when there is something to do.
func (b ground) prepare(networks []string) error {
	for !b.prepared(networks) {
		b.turn.RUnlock()
		err := b.prepareAlone(networks)
		b.turn.RLock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (b ground) prepareAlone(networks []string) error {
	b.turn.Lock()
	defer b.turn.Unlock()
	if err := b.openTable(); err != nil {
		return err
	}
	if slices.Contains(networks, Default) {
		if err := b.defaultTurn(); err != nil {
			return err
		}
	}
	if err := b.openTurn(); err != nil {
		return err
	}
	for _, name := range networks {
		if err := b.claimTurn(name); err != nil {
			return err
		}
	}
	return nil
}

func (b ground) prepared(networks []string) bool {
	if !b.host.Up || b.table == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range networks {
		if n := b.networks[name]; n == nil || !b.claimed(n.Subnets) {
			return false
		}
	}
	return true
}

func (b ground) claimed(subnets []netip.Prefix) bool {
	return !slices.ContainsFunc(subnets, func(s netip.Prefix) bool { return !slices.Contains(b.host.Claims, s) })
}

// openTurn makes the host a router and the table. The caller holds turn.
func (b ground) openTurn() error {
	if b.host.Up {
		return nil
	}
	if err := b.route(); err != nil {
		return err
	}
	b.host.Up = true
	err := b.noteHost()
	if err == nil {
		err = b.table.Replace(b.content())
	}
	if err != nil {
		b.host.Up = false
		return fmt.Errorf("%w%s", err, hint)
	}
	return nil
}

const hint = " (--network none and --network host do without)"

func (b ground) openTable() error {
	if b.table != nil {
		return nil
	}
	t, err := nft.Open(b.names.table, b.names.prefix)
	if err != nil {
		return fmt.Errorf("%w%s", err, hint)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errors.Join(fault.New(fault.Unavailable, "the daemon ends"), t.Close())
	}
	b.table = t
	b.work.Go(func() { b.watch(t) })
	return nil
}

func (b ground) noteHost() error {
	if err := b.c.Leases.Put(hostKind, "host", b.host); err != nil {
		return fmt.Errorf("host: record: %w", err)
	}
	return nil
}

// route makes the host a router, and between the links that it has no more of one than
// it was.
func (b ground) route() (err error) {
	all, err := forwarding()
	if err != nil || len(all) == 0 {
		return err
	}
	was := b.host
	defer func() {
		if err == nil {
			return
		}
		for _, s := range slices.Backward(all) {
			err = errors.Join(err, s.restore())
		}
		b.host = was // of what the record has more nothing is set
	}()
	links, err := net.Interfaces()
	if err != nil {
		return fault.Wrap(fault.Internal, "links", err)
	}
	for _, l := range links {
		if l.Flags&net.FlagLoopback == 0 && !strings.HasPrefix(l.Name, b.names.prefix) {
			b.host.Uplinks = append(b.host.Uplinks, l.Name)
		}
	}
	b.host.Settings = append(b.host.Settings, all...)
	if err := b.noteHost(); err != nil {
		return err
	}
	for _, s := range all {
		if err := os.WriteFile(sysctls+s.Path, []byte(s.Set), 0); err != nil {
			return fault.Wrap(fault.Denied, "forwarding"+hint, err)
		}
	}
	return nil
}

// forwarding are the settings that a router needs and this host has not.
func forwarding() (all []setting, err error) {
	v, err := read("ipv4/ip_forward")
	if err != nil {
		return nil, fault.Wrap(fault.Unsupported, "forwarding", err)
	}
	if v == "0" {
		all = append(all, setting{"ipv4/ip_forward", "0", "1"})
	}
	if v, err := read("ipv6/conf/all/forwarding"); err == nil && v == "0" && hasIPv6() {
		all = append(all, advertised()...)
		all = append(all, setting{"ipv6/conf/all/forwarding", "0", "1"})
	}
	return all, nil
}

// advertised are the settings that keep routes from router advertisements: a router
// ignores those unless accept_ra is 2.
func advertised() (all []setting) {
	dirs, _ := filepath.Glob(sysctls + "ipv6/conf/*") // none: nothing to keep
	for _, dir := range dirs {
		name := strings.TrimPrefix(dir, sysctls) + "/accept_ra"
		if base := filepath.Base(dir); base == "all" || base == "lo" {
			continue
		}
		if v, err := read(name); err == nil && v == "1" {
			all = append(all, setting{name, "1", "2"})
		}
	}
	return all
}

// defaultTurn makes the default network, and gives it other subnets when it is not in
// use and the host's routes have changed since it was. The caller holds turn.
func (b ground) defaultTurn() error {
	b.mu.Lock()
	old := b.networks[Default]
	b.mu.Unlock()
	if old != nil {
		if len(old.Subnets) > 0 && b.claimed(old.Subnets) {
			return nil
		}
		taken, err := link.Destinations(b.names.prefix)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(old.Subnets, func(s netip.Prefix) bool { return address.Overlap(s, taken).IsValid() }) {
			return nil
		}
		b.mu.Lock()
		delete(b.networks, Default)
		b.mu.Unlock()
	}
	subnets, err := b.subnetsOf(usable(b.c.Pools))
	if err != nil {
		return err
	}
	err = b.enter(record{Name: Default, Subnets: subnets, CreatedAt: time.Now()})
	if err != nil || !b.host.Up {
		return err
	}
	return b.table.Replace(b.content())
}

// claimTurn makes a network's subnets unreachable but for its pods. The caller holds
// turn.
func (b ground) claimTurn(name string) error {
	b.mu.Lock()
	n := b.networks[name]
	b.mu.Unlock()
	if n == nil {
		return fault.New(fault.NotFound, fmt.Sprintf("network %.80s: no such network", name))
	}
	for _, s := range n.Subnets {
		if slices.Contains(b.host.Claims, s) {
			continue
		}
		taken, err := link.Destinations(b.names.prefix)
		if err != nil {
			return err
		}
		if o := address.Overlap(s, taken); o.IsValid() {
			return fault.New(fault.Conflict, fmt.Sprintf("network %s: subnet %s overlaps the host's route to %s", name, s, o))
		}
		b.host.Claims = append(b.host.Claims, s)
		if err = b.noteHost(); err == nil {
			err = link.Claim(s)
		}
		if err != nil { // the next pod tries again
			b.host.Claims = b.host.Claims[:len(b.host.Claims)-1]
			return fmt.Errorf("network %s: %w", name, err)
		}
	}
	return nil
}

// reclaimTurn sees to the subnets of pods that go on, should the record of them be
// lost. The caller holds turn.
func (b ground) reclaimTurn() error {
	b.mu.Lock()
	var missing []netip.Prefix
	for _, l := range b.leases {
		for _, k := range l.Links {
			if n := b.networks[k.Network]; n != nil && !b.claimed(n.Subnets) {
				missing = append(missing, n.Subnets...)
			}
		}
	}
	b.mu.Unlock()
	var errs []error
	for _, s := range missing {
		if slices.Contains(b.host.Claims, s) {
			continue
		}
		if err := link.Claim(s); err != nil && !fault.Is(err, fault.Exists) { // it may well be there
			errs = append(errs, err)
			continue
		}
		b.host.Claims = append(b.host.Claims, s)
	}
	return errors.Join(append(errs, b.noteHost())...)
}

func (b ground) unclaimTurn(subnets []netip.Prefix) error {
	var errs []error
	for _, s := range subnets {
		if !slices.Contains(b.host.Claims, s) {
			continue
		}
		if err := link.Unclaim(s); err != nil {
			errs = append(errs, err)
			continue
		}
		b.host.Claims = slices.DeleteFunc(b.host.Claims, func(o netip.Prefix) bool { return o == s })
	}
	return errors.Join(append(errs, b.noteHost())...)
}

// restoreTurn undoes what was done to the host if no pod needs it. The caller holds turn.
func (b ground) restoreTurn() error {
	b.mu.Lock()
	busy := len(b.leases)+len(b.ending) > 0
	touched := b.host.Up || len(b.host.Settings)+len(b.host.Claims) > 0 || b.networks[Default] != nil
	b.mu.Unlock()
	if busy || !touched {
		return nil
	}
	errs := []error{b.dropTable()}
	for _, s := range slices.Backward(b.host.Settings) {
		errs = append(errs, s.restore())
	}
	for _, c := range b.host.Claims {
		errs = append(errs, link.Unclaim(c))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b.host = host{}
	b.mu.Lock()
	delete(b.networks, Default) // the next pod's may be another
	b.mu.Unlock()
	return errors.Join(b.c.Leases.Delete(networkKind, Default), b.c.Leases.Delete(hostKind, "host"))
}

func (b ground) dropTable() error {
	if !b.host.Up {
		return nil
	}
	if b.table != nil {
		return b.table.Drop()
	}
	t, err := nft.Open(b.names.table, b.names.prefix) // it is an earlier daemon's
	if err != nil {
		return err
	}
	return errors.Join(t.Drop(), t.Close())
}

// restore sets what was before, unless the link has gone or somebody else has decided
// since.
func (s setting) restore() error {
	if v, err := read(s.Path); err != nil || v != s.Set {
		return nil
	}
	err := os.WriteFile(sysctls+s.Path, []byte(s.Before), 0)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("setting: %w", err)
}
