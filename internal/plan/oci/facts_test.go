package oci

import "carob/internal/host"

func testFacts() host.Facts {
	return host.Facts{CPUs: 2, SwapAccounting: true, OOMScoreAdjMin: -1000, Kernel: host.Version{Major: 6, Minor: 18}}
}
