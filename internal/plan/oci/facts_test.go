package oci

func testFacts() Facts {
	return Facts{CPUs: 2, SwapAccounting: true, Arch: "amd64", Kernel: [2]int{6, 18}}
}

func setSwapAccounting(f *Facts, yes bool) { f.SwapAccounting = yes }
