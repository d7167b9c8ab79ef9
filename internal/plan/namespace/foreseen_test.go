package namespace_test

import (
	"testing"

	"carob/internal/plan/namespace"
	"carob/internal/spec"
)

func TestForeseen(t *testing.T) {
	for _, tt := range []struct {
		sysctl string
		joins  []spec.Join
		want   bool
	}{
		{"kernel.msgmax", nil, true},
		{"net.ipv4.ip_unprivileged_port_start", nil, true},
		{"net.ipv4.ip_forward", nil, true}, // of all links, also those there are (inet_forward_change)
		{"net.ipv4.conf.default.rp_filter", nil, false},
		{"net.ipv6.conf.all.disable_ipv6", nil, false},
		{"net.ipv4.conf.eth0.arp_ignore", nil, false},
		{"net.ipv4.neigh.default.gc_stale_time", nil, false},
		{"net.ipv4.tcp_conf", nil, true},
		{"kernel.msgmax", []spec.Join{{Network: "front"}}, false},
	} {
		if got := namespace.Foreseen(tt.joins, map[string]string{tt.sysctl: "1"}); got != tt.want {
			t.Errorf("%s, %v: %v", tt.sysctl, tt.joins, got)
		}
	}
}
