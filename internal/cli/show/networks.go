package show

import (
	"fmt"
	"strings"

	"carob/internal/status"
)

// NetworkRow is a network as `network ls --format` sees it.
type NetworkRow struct {
	Name, Subnets, Gateways, Members, CreatedAt, Labels string
}

// Networks shows networks.
func Networks() Sheet[status.Network] {
	name := func(n status.Network) string { return n.Name }
	subnets := func(n status.Network) string { return strings.Join(n.Subnets, ",") }
	gateways := func(n status.Network) string { return strings.Join(n.Gateways, ",") }
	members := func(n status.Network) string { return fmt.Sprint(len(n.Members)) }
	return Sheet[status.Network]{
		Columns: []Column[status.Network]{
			{Head: "NAME", Text: name},
			{Head: "SUBNETS", Text: subnets},
			{Head: "MEMBERS", Text: members},
			{Head: "GATEWAYS", Wide: true, Text: gateways},
		},
		Name: name,
		Row: func(n status.Network) any {
			return NetworkRow{
				Name: n.Name, Subnets: subnets(n), Gateways: gateways(n), Members: members(n),
				CreatedAt: n.CreatedAt.Format(timeLayout), Labels: words(n.Labels),
			}
		},
	}
}
