package show

import (
	"cmp"
	"fmt"
	"net"
	"strings"

	"carob/internal/plan/port"
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
		for _, p := range c.Ports {
			for _, line := range port.Lines(p, c.IPs) {
				pod, host, _ := strings.Cut(line, " -> ")
				ip, number, _ := net.SplitHostPort(host)
				n.Ports[pod] = append(n.Ports[pod], PortBinding{ip, number})
			}
		}
	}
	return n
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
