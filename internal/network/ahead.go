package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/sys/link"
	"carob/internal/sys/ns"
)

// Prepare makes the pair of a pod that will come, with addresses reserved; see pod.Network.
// The host has no route to them, and the table lets nothing from them pass. It does not
// make the host ready: the pod that this one follows has done so.
func (b *Builtin) Prepare(_ context.Context, podID string, pid int) error {
	netns, err := ns.Open(pid, "net")
	if err != nil {
		return err
	}
	defer func() { _ = netns.Close() }()
	b.turn.RLock()
	defer b.turn.RUnlock()
	if !(ground{b}).prepared([]string{Default}) {
		return fault.New(fault.Unsupported, "network "+Default+": nobody uses it")
	}
	mtu, err := link.UplinkMTU()
	if err != nil {
		return err
	}
	b.mu.Lock()
	k, err := book{b}.linkLocked(&lease{PodID: podID}, spec.Join{Network: Default})
	b.mu.Unlock()
	if err != nil {
		return err
	}
	k.madeMTU = mtu
	if err = link.Prepare(netns, (&lease{Links: []leasedLink{k}}).pair(0, mtu)); err != nil {
		k.madeMTU = -1 // of no use, should it not go
	}
	b.mu.Lock()
	b.ahead[podID] = k
	b.mu.Unlock()
	if err != nil {
		return errors.Join(fmt.Errorf("network %s: %w", Default, err), book{b}.forsake(podID))
	}
	return nil
}

// forsake takes back what was prepared for a pod, if anything was. Nobody can have used
// its addresses.
func (b book) forsake(podID string) error {
	b.mu.Lock()
	k, ok := b.ahead[podID]
	b.mu.Unlock()
	if !ok {
		return nil
	}
	if err := link.Delete(k.Host); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ahead, podID)
	b.releaseLocked(&lease{Links: []leasedLink{k}})
	return nil
}

// forsakeTurn takes back all that was prepared and that which chooses. The caller holds
// turn, so that no pod takes any of it meanwhile.
func (b book) forsakeTurn(which func(leasedLink) bool) error {
	b.mu.Lock()
	var pods []string
	for id, k := range b.ahead {
		if which(k) {
			pods = append(pods, id)
		}
	}
	b.mu.Unlock()
	var errs []error
	for _, id := range pods {
		errs = append(errs, b.forsake(id))
	}
	return errors.Join(errs...)
}

// surrender takes back what holds an address that somebody asks for by its number.
func (b book) surrender(wanted map[string]bool) error {
	holds := func(k leasedLink) bool {
		return slices.ContainsFunc(k.Addresses, func(ip netip.Addr) bool { return wanted[ip.String()] })
	}
	b.mu.Lock()
	some := false
	for _, k := range b.ahead {
		some = some || holds(k)
	}
	b.mu.Unlock()
	if !some {
		return nil
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	return b.forsakeTurn(holds)
}

// suit takes back what was prepared for a pod that turns out to be another: one with
// wishes of its own, or on a host that has IPv6 now or has it no more.
func (b book) suit(a pod.Attachment, joins []spec.Join) error {
	b.mu.Lock()
	k, ok := b.ahead[a.PodID]
	families := 0
	if ok {
		families = len(b.networks[Default].offered())
	}
	b.mu.Unlock()
	if !ok {
		return nil
	}
	j := joins[0]
	if len(joins) == 1 && j.Network == Default && len(j.IPs) == 0 && j.MAC == "" && len(k.Addresses) == families {
		return nil
	}
	return b.forsake(a.PodID)
}
