package names

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"carob/internal/network"
	"carob/internal/plan/etc"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
)

// Network gives names to the pods of the built-in network. It implements pod.Network.
type Network struct {
	Builtin pod.Network
	Server  *Server
}

// Prepare is the built-in network's: names are known with the pod.
func (n Network) Prepare(ctx context.Context, podID string, pid int) error {
	return n.Builtin.Prepare(ctx, podID, pid)
}

// Attach connects a pod and enters its names. A network whose names cannot be served is
// not attached.
func (n Network) Attach(ctx context.Context, a pod.Attachment) ([]status.Connection, error) {
	links, err := n.Builtin.Attach(ctx, a)
	if err != nil {
		return nil, err
	}
	for i := range links {
		if err := n.enter(a, &links[i]); err != nil {
			return nil, errors.Join(fmt.Errorf("network %s: %w", links[i].Network, err), n.undo(ctx, a, links))
		}
	}
	return links, nil
}

// undo takes back what was added to a pod; a new one is detached by whoever called.
func (n Network) undo(ctx context.Context, a pod.Attachment, links []status.Connection) error {
	if len(a.Connections) == 0 {
		return nil
	}
	var errs []error
	for _, l := range links {
		errs = append(errs, n.Detach(context.WithoutCancel(ctx), a.PodID, l.Network))
	}
	return errors.Join(errs...)
}

// enter makes the server known to a pod's connection, where the pod shall ask it.
func (n Network) enter(a pod.Attachment, l *status.Connection) error {
	named := l.Network != network.Default
	gateways, addresses := addrs(l.Gateways), addrs(l.IPs)
	if len(gateways) == 0 || len(addresses) == 0 || !named && n.reachable() {
		return nil
	}
	m := &member{podID: a.PodID, pod: a.Name, network: l.Network, addresses: addresses, aliases: l.Aliases, servers: serversOf(a.Spec)}
	if err := n.Server.join(m, gateways); err != nil {
		return err
	}
	l.DNS, l.Names = &spec.DNS{Nameservers: l.Gateways}, named
	return nil
}

// reachable reports whether a pod reaches a server of the host's.
func (n Network) reachable() bool {
	for _, path := range []string{n.Server.c.ResolvConf, "/run/systemd/resolve/resolv.conf"} {
		text, err := os.ReadFile(path)
		if _, ok := etc.Reachable(string(text)); err == nil && ok {
			return true
		}
	}
	return false
}

// serversOf are the servers that a pod wants asked in its name. Those on a loopback mean
// the pod's own, which is not the host's.
func serversOf(s *spec.Pod) (all []netip.Addr) {
	if s == nil || s.DNS == nil || s.DNS.Policy != spec.DNSFill {
		return nil
	}
	for _, ip := range addrs(s.DNS.Nameservers) {
		if !ip.IsLoopback() {
			all = append(all, ip)
		}
	}
	return all
}

func addrs(texts []string) (all []netip.Addr) {
	for _, t := range texts {
		if ip, err := netip.ParseAddr(t); err == nil {
			all = append(all, ip.Unmap())
		}
	}
	return all
}

// Detach strikes the pod's names out, then disconnects it.
func (n Network) Detach(ctx context.Context, podID, network string) error {
	return errors.Join(n.Server.leave(podID, network), n.Builtin.Detach(ctx, podID, network))
}

// Keep enters the names of the pods that go on. One network whose names cannot be served
// does not hold up the others.
func (n Network) Keep(ctx context.Context, live []pod.Attachment) error {
	errs := []error{n.Builtin.Keep(ctx, live)}
	for _, a := range live {
		for _, l := range a.Connections {
			if l.DNS == nil {
				continue
			}
			if err := n.enter(a, &l); err != nil {
				errs = append(errs, fmt.Errorf("pod %s: network %s: %w", a.PodID, l.Network, err))
			}
		}
	}
	return errors.Join(errs...)
}
