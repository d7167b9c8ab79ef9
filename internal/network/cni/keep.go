package cni

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"

	"carob/internal/pod"
)

// Keep takes back, in the background, the attachments of all pods that are not live, then
// tells plugins which attachments are valid (GC), and asks whether those are still as they
// were made (CHECK). Plugins may take their time over it: no pod waits for the first and
// the last. What goes wrong is logged, and tried again by the next daemon.
func (n *Network) Keep(_ context.Context, live []pod.Attachment) error {
	var stale, kept []record
	for _, r := range n.ledger.all() {
		if slices.ContainsFunc(live, func(a pod.Attachment) bool { return a.PodID == r.PodID }) {
			kept = append(kept, r)
		} else {
			stale = append(stale, r)
		}
	}
	n.work.Go(func() {
		n.sweep(stale)
		n.collect()
		n.check(kept)
	})
	return nil
}

func (n *Network) sweep(stale []record) {
	for _, r := range stale {
		if n.ctx.Err() != nil {
			return
		}
		if err := n.Detach(n.ctx, r.PodID, ""); err != nil {
			n.c.Log.Error("CNI: what an earlier daemon attached stays", "pod", r.PodID, "cause", err)
			continue
		}
		n.c.Log.Info("CNI: taken back what an earlier daemon attached", "pod", r.PodID)
	}
}

// collect executes GC for every network whose plugins know it. Attachments of other
// runtimes that use the same network are as valid as ours.
func (n *Network) collect() {
	for _, list := range n.conf.current().lists {
		if err := collectOne(n, list); err != nil && n.ctx.Err() == nil {
			n.c.Log.Warn("CNI: GC", "network", list.Name, "cause", err)
		}
	}
}

// collectOne is GC of one network. Pods wait for one at a time at most.
func collectOne(n *Network, list *libcni.NetworkConfigList) error {
	n.gate.Lock()
	defer n.gate.Unlock()
	args := &libcni.GCArgs{ValidAttachments: append(n.ledger.members(list.Name), elsewhere(libcni.CacheDir, list.Name)...)}
	ctx, cancel := context.WithTimeout(n.ctx, delTime)
	defer cancel()
	return n.lib.GCNetworkList(ctx, list, args)
}

// elsewhere are the attachments to a network that libcni has cached for others in dir:
// containerd, CRI-O and podman all leave its default directory as it is.
func elsewhere(dir, network string) (all []types.GCAttachment) {
	files, _ := filepath.Glob(filepath.Join(dir, "results", "*")) // none: nobody else
	for _, f := range files {
		var c struct {
			ContainerID string `json:"containerId"`
			IfName      string `json:"ifName"`
			NetworkName string `json:"networkName"`
		}
		st, err := os.Stat(f)
		if err != nil || !st.Mode().IsRegular() || st.Size() > maxOutput {
			continue
		}
		raw, err := os.ReadFile(f)
		if err == nil && json.Unmarshal(raw, &c) == nil && c.NetworkName == network {
			all = append(all, types.GCAttachment{ContainerID: c.ContainerID, IfName: c.IfName})
		}
	}
	return all
}

// check asks plugins whether attachments are still as they were made.
func (n *Network) check(kept []record) {
	for _, r := range kept {
		for _, at := range r.Attachments {
			if n.ctx.Err() != nil {
				return
			}
			if err := n.checkOne(r, at); err != nil && n.ctx.Err() == nil {
				n.c.Log.Warn("CNI: a pod's network is not as it was made", "pod", r.PodID, "network", at.Network, "cause", err)
			}
		}
	}
}

func (n *Network) checkOne(r record, at attachment) error {
	defer n.turns.take(r.PodID)()
	if !n.Has(r.PodID) || !at.Made {
		return nil // it has gone meanwhile
	}
	list, rt, err := at.call(r, r.Path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, statusTime)
	defer cancel()
	if err := n.lib.CheckNetworkList(ctx, list, rt); err != nil && !errors.Is(err, libcni.ErrorCheckNotSupp) {
		return err
	}
	return nil
}
