package show

import (
	"cmp"
	"fmt"
	"strings"

	"carob/internal/plan/port"
	"carob/internal/spec"
	"carob/internal/status"
)

// NetworkRow is a network as `network ls --format` sees it.
type NetworkRow struct {
	Name, Driver, Subnets, Gateways, Members, CreatedAt, Labels string
}

// Networks shows networks.
func Networks() Sheet[status.Network] {
	name := func(n status.Network) string { return n.Name }
	subnets := func(n status.Network) string { return strings.Join(n.Subnets, ",") }
	gateways := func(n status.Network) string { return strings.Join(n.Gateways, ",") }
	driver := func(n status.Network) string { return cmp.Or(n.Driver, "builtin") }
	members := func(n status.Network) string { return fmt.Sprint(len(n.Members)) }
	return Sheet[status.Network]{
		Columns: []Column[status.Network]{
			{Head: "NAME", Text: name},
			{Head: "DRIVER", Text: driver},
			{Head: "SUBNETS", Text: subnets},
			{Head: "MEMBERS", Text: members},
			{Head: "GATEWAYS", Wide: true, Text: gateways},
		},
		Name: name,
		Row: func(n status.Network) any {
			return NetworkRow{
				Name: n.Name, Driver: driver(n), Subnets: subnets(n), Gateways: gateways(n), Members: members(n),
				CreatedAt: n.CreatedAt.Format(timeLayout), Labels: words(n.Labels),
			}
		},
	}
}

// NetworkSettings is Docker's: the first network's addresses beside those of each, and
// the published ports.
type NetworkSettings struct {
	Endpoint
	Ports    map[string][]PortBinding
	Networks map[string]Endpoint
}

// Endpoint is a container's part in one network.
type Endpoint struct {
	IPAddress, GlobalIPv6Address, Gateway, IPv6Gateway, MacAddress string
	Aliases                                                        []string `json:",omitempty"`
}

// PortBinding is a port of the host.
type PortBinding struct{ HostIp, HostPort string }

func networkSettings(all []status.Connection) NetworkSettings {
	n := NetworkSettings{Ports: map[string][]PortBinding{}, Networks: map[string]Endpoint{}}
	for i, c := range all {
		e := endpoint(c)
		n.Networks[c.Network] = e
		if i == 0 {
			n.Endpoint = e
		}
	}
	for _, p := range Published(all) {
		pod := fmt.Sprintf("%d/%s", p.ContainerPort, strings.ToLower(p.Protocol))
		n.Ports[pod] = append(n.Ports[pod], PortBinding{p.HostIP, fmt.Sprint(p.HostPort)})
	}
	return n
}

// Published are the ports of the host that lead to a pod with these connections.
func Published(all []status.Connection) (ports []spec.Port) {
	for _, c := range all {
		for _, p := range c.Ports {
			ports = append(ports, port.Published(p, c.IPs)...)
		}
	}
	return ports
}

// Listed is a container as `ps` lists it: with the ports of the host that lead to its pod,
// and the networks that the pod is in.
type Listed struct {
	status.Container
	Ports    []spec.Port `json:"ports,omitempty"`
	Networks []string    `json:"networks,omitempty"`
}

// List joins containers with what their pods have.
func List(containers []status.Container, pods []status.Pod) []Listed {
	connections := map[string][]status.Connection{}
	for _, p := range pods {
		connections[p.ID] = p.Connections
	}
	all := make([]Listed, 0, len(containers))
	for _, c := range containers {
		one := Listed{Container: c, Ports: Published(connections[c.PodID])}
		for _, k := range connections[c.PodID] {
			one.Networks = append(one.Networks, k.Network)
		}
		all = append(all, one)
	}
	return all
}

func endpoint(c status.Connection) Endpoint {
	e := Endpoint{MacAddress: c.MAC, Aliases: c.Aliases}
	for i, ip := range c.IPs {
		gateway := ""
		if i < len(c.Gateways) {
			gateway = c.Gateways[i]
		}
		if strings.Contains(ip, ":") {
			e.GlobalIPv6Address, e.IPv6Gateway = ip, gateway
		} else {
			e.IPAddress, e.Gateway = ip, gateway
		}
	}
	return e
}
