package oci

// Facts are what decisions depend on of the machine, as package host reads it. They
// are a type of their own because plans do no I/O, not even through an import.
type Facts struct {
	// CPUs is how many are online; 0 is unknown and bounds nothing.
	CPUs int
	// SwapAccounting says that cgroups can limit swap.
	SwapAccounting bool
	// AppArmor and SELinux say that the module is enabled.
	AppArmor, SELinux bool
	// OOMScoreAdjMin is the lowest oom_score_adj that the daemon may give.
	OOMScoreAdjMin int
	// Kernel is the release's first two numbers.
	Kernel [2]int
}
