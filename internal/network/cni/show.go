package cni

import (
	"slices"

	"carob/internal/status"
)

// Driver is status.Network's Driver of networks that plugins make.
const Driver = "cni"

// Shown are the networks there are, the default one first, with the pods that are in them.
// Addresses are the plugins' business and known of pods only.
func (n *Network) Shown() []status.Network {
	now := n.conf.current()
	var all []status.Network
	for _, list := range now.lists {
		one := status.Network{Name: list.Name, Driver: Driver, Members: n.members(list.Name)}
		if list == now.first {
			all = slices.Insert(all, 0, one)
		} else {
			all = append(all, one)
		}
	}
	return all
}

func (n *Network) members(network string) (all []status.Member) {
	for _, r := range n.ledger.all() {
		for _, at := range r.Attachments {
			if at.Network == network {
				all = append(all, status.Member{PodID: r.PodID, Pod: at.argument("K8S_POD_NAME"), Interface: at.IfName})
			}
		}
	}
	return all
}

// argument is one of CNI_ARGS.
func (at *attachment) argument(name string) string {
	for _, a := range at.Args {
		if a[0] == name {
			return a[1]
		}
	}
	return ""
}
