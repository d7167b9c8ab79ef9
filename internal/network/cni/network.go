package cni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/status"
	"carob/internal/sys/netns"
)

// Deadlines for all plugins of one network. An agent behind a plugin may itself be
// starting when a pod comes: ADD has the kubelet's patience.
const (
	addTime    = 90 * time.Second
	delTime    = 30 * time.Second
	statusTime = 10 * time.Second
)

// Store keeps records: see pod.Store.
type Store = pod.Store

// Config is what a Network works with.
type Config struct {
	// ConfDir has the configurations, BinDirs the plugins.
	ConfDir string
	BinDirs []string
	// CacheDir is libcni's, on disk, and so is what Records writes to.
	CacheDir string
	Records  Store
	// PathDir is where namespaces get their paths; "" is /run/netns.
	PathDir string
	Log     *slog.Logger
}

// Network connects pods by plugins. It implements pod.Network. The caller closes it.
type Network struct {
	c    Config
	conf confDir
	lib  *libcni.CNIConfig

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	// gate: see the package comment.
	gate sync.RWMutex

	ledger ledger
	turns  turns
}

// Open reads the records of earlier daemons. It executes nothing.
func Open(c Config) (*Network, error) {
	if c.PathDir == "" {
		c.PathDir = "/run/netns"
	}
	n := &Network{
		c: c, conf: confDir{path: c.ConfDir, log: c.Log},
		lib:    libcni.NewCNIConfigWithCacheDir(c.BinDirs, c.CacheDir, &plugins{log: c.Log}),
		ledger: ledger{store: c.Records, records: map[string]record{}}, turns: turns{of: map[string]*turn{}},
	}
	if err := n.ledger.load(); err != nil {
		return nil, fmt.Errorf("cni: %w", err)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n, nil
}

// Close ends what the network does on its own account. Attachments stay.
func (n *Network) Close() error {
	n.cancel()
	n.work.Wait()
	n.conf.mu.Lock()
	defer n.conf.mu.Unlock()
	n.conf.close()
	return nil
}

// Configured reports whether there is a configuration of a default network, valid or not.
func (n *Network) Configured() bool {
	now := n.conf.current()
	return now.first != nil || now.broken != nil
}

// Networks are the names of the networks there are.
func (n *Network) Networks() []string { return n.conf.current().names() }

// Ready says why pods cannot be connected now, nil when they can: there is a
// configuration, and the default network's plugins have no objection (STATUS).
func (n *Network) Ready(ctx context.Context) error {
	first, err := n.conf.current().defaulted(n.c.ConfDir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	if err := n.lib.GetStatusNetworkList(ctx, first); err != nil {
		return fault.Wrap(fault.Unavailable, "network "+first.Name+": not ready", err)
	}
	return nil
}

// Prepare does nothing: Unsupported. A plugin has no part that could come before ADD.
func (n *Network) Prepare(context.Context, string, int) error {
	return fault.New(fault.Unsupported, "cni: nothing is made ahead")
}

// Attach executes ADD for every network the pod gets; see pod.Network.
func (n *Network) Attach(ctx context.Context, a pod.Attachment) (links []status.Connection, err error) {
	more, err := n.plan(a)
	if err != nil {
		return nil, err
	}
	defer n.turns.take(a.PodID)()
	r, err := n.begin(ctx, a)
	if err != nil {
		return nil, err
	}
	before := len(r.Attachments)
	r.Attachments = append(r.Attachments, more...)
	if err := n.ledger.put(r); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil { // every plugin hears of it, also those that were not reached
			rest := context.WithoutCancel(ctx)
			err = errors.Join(err, n.detach(rest, r, func(i int) bool { return i >= before }))
		}
	}()
	if !netns.Pinned(r.Path) {
		if err := pin(a.Pid, r.Path); err != nil {
			return nil, err
		}
	}
	n.gate.RLock()
	defer n.gate.RUnlock()
	for i := before; i < len(r.Attachments); i++ {
		link, err := n.add(ctx, r, &r.Attachments[i])
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", r.Attachments[i].Network, err)
		}
		if r.Attachments[i].Capabilities["portMappings"] != nil {
			link.Ports = published(a.Spec)
		}
		links = append(links, link)
	}
	return links, n.ledger.put(r)
}

// plan is what a pod gets by the configurations there are now.
func (n *Network) plan(a pod.Attachment) (all []attachment, err error) {
	now := n.conf.current()
	if len(a.Joins) == 0 && len(a.Connections) == 0 {
		if _, err := now.defaulted(n.c.ConfDir); err != nil {
			return nil, err
		}
	}
	wishes, err := want(now, a)
	if err != nil {
		return nil, err
	}
	args, err := arguments(a)
	if err != nil {
		return nil, err
	}
	for _, w := range wishes {
		// A program that is missing is told before anything has been made: DEL needs them all.
		for _, p := range w.list.Plugins {
			if _, err := invoke.FindInPath(p.Network.Type, n.c.BinDirs); err != nil {
				return nil, fault.Wrap(fault.Unavailable, "network "+w.list.Name+": not ready", err)
			}
		}
		config, err := inlined(w.list)
		if err != nil {
			return nil, err
		}
		all = append(all, attachment{Network: w.list.Name, IfName: w.ifname, Args: args, Capabilities: w.args, Config: config})
	}
	return all, nil
}

// begin returns the record that a pod's attachments are added to. What an earlier life of
// the pod has left is taken back first: its namespace was another.
func (n *Network) begin(ctx context.Context, a pod.Attachment) (record, error) {
	r, ok := n.ledger.get(a.PodID)
	if ok && len(a.Connections) > 0 {
		return r, nil
	}
	if ok {
		if err := n.detach(ctx, r, func(int) bool { return true }); err != nil {
			return r, err
		}
	}
	return record{PodID: a.PodID, Path: filepath.Join(n.c.PathDir, "carob-"+a.PodID)}, nil
}

func pin(pid int, path string) error {
	ns, err := netns.Open(pid, "")
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }() // the mount holds it
	if err := netns.Unpin(path); err != nil {
		return err
	}
	return netns.Pin(ns, path)
}

func (n *Network) add(ctx context.Context, r record, at *attachment) (status.Connection, error) {
	list, rt, err := at.call(r, r.Path)
	if err != nil {
		return status.Connection{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, addTime)
	defer cancel()
	result, err := n.lib.AddNetworkList(ctx, list, rt)
	if err != nil {
		return status.Connection{}, kinded(err)
	}
	at.Made = true
	return connection(at.Network, at.IfName, result)
}

// call is what libcni needs for at. path is the namespace's, "" when it is gone.
func (at *attachment) call(r record, path string) (*libcni.NetworkConfigList, *libcni.RuntimeConf, error) {
	list, err := libcni.NetworkConfFromBytes(at.Config)
	if err != nil {
		return nil, nil, fault.Wrap(fault.Internal, "network "+at.Network+": recorded configuration", err)
	}
	return list, &libcni.RuntimeConf{ContainerID: r.PodID, NetNS: path, IfName: at.IfName, Args: at.Args, CapabilityArgs: at.Capabilities}, nil
}

// kinded gives a plugin's error its kind (CNI specification, section "Error").
func kinded(err error) error {
	kind := fault.Internal
	var e *types.Error
	if errors.As(err, &e) {
		switch e.Code {
		case types.ErrTryAgainLater, types.ErrPluginNotAvailable, types.ErrLimitedConnectivity:
			kind = fault.Unavailable
		case types.ErrInvalidNetworkConfig, types.ErrIncompatibleCNIVersion, types.ErrUnsupportedField:
			kind = fault.Invalid
		}
		if e.Details != "" && e.Details != e.Msg {
			err = fmt.Errorf("%w (%s)", err, e.Details)
		}
	}
	return fault.Wrap(kind, "", err)
}

// inlined is a configuration with the plugins that libcni found beside it.
func inlined(list *libcni.NetworkConfigList) (json.RawMessage, error) {
	plugins := make([]json.RawMessage, 0, len(list.Plugins))
	for _, p := range list.Plugins {
		plugins = append(plugins, p.Bytes)
	}
	raw, err := json.Marshal(map[string]any{
		"name": list.Name, "cniVersion": list.CNIVersion, "disableCheck": list.DisableCheck, "disableGC": list.DisableGC, "plugins": plugins,
	})
	return raw, fault.Wrap(fault.Internal, "network "+list.Name, err)
}

// Detach executes DEL for one or all networks of a pod; see pod.Network. What fails stays
// recorded, for the next time.
func (n *Network) Detach(ctx context.Context, podID, network string) error {
	defer n.turns.take(podID)()
	r, ok := n.ledger.get(podID)
	if !ok {
		return nil
	}
	return n.detach(ctx, r, func(i int) bool { return network == "" || r.Attachments[i].Network == network })
}

// detach takes back the attachments that are chosen, the last one first, and everything
// when none is left. The caller has the pod's turn.
func (n *Network) detach(ctx context.Context, r record, chosen func(i int) bool) error {
	path := r.Path
	if !netns.Pinned(path) {
		path = "" // a plugin then takes back what is outside of the namespace
	}
	var errs []error
	rest := r
	rest.Attachments = nil
	for i := len(r.Attachments) - 1; i >= 0; i-- {
		at := r.Attachments[i]
		if chosen(i) {
			err := n.del(ctx, r, at, path)
			if err == nil {
				continue
			}
			errs = append(errs, fmt.Errorf("network %s: %w", at.Network, err))
		}
		rest.Attachments = append(rest.Attachments, at)
	}
	slices.Reverse(rest.Attachments)
	if len(rest.Attachments) > 0 {
		return errors.Join(append(errs, n.ledger.put(rest))...)
	}
	if err := netns.Unpin(r.Path); err != nil {
		return err
	}
	return n.ledger.forget(r.PodID)
}

func (n *Network) del(ctx context.Context, r record, at attachment, path string) error {
	n.gate.RLock()
	defer n.gate.RUnlock()
	list, rt, err := at.call(r, path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, delTime)
	defer cancel()
	if err := n.lib.DelNetworkList(ctx, list, rt); err != nil {
		return kinded(err)
	}
	return nil
}

// Has reports whether a pod was connected here.
func (n *Network) Has(podID string) bool {
	_, ok := n.ledger.get(podID)
	return ok
}
