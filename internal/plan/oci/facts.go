package oci

// Facts
type Facts struct {
	CPUs           int
	SwapAccounting bool
	LSMs           []string
	OOMFloor       int
	Arch           string
	Kernel         [2]int
}

func (p *planner) cpus() int            { return p.r.Facts.CPUs }
func (p *planner) swapAccounting() bool { return p.r.Facts.SwapAccounting }
func (p *planner) oomFloor() int        { return p.r.Facts.OOMFloor }
func (p *planner) hasLSM(name string) bool {
	for _, l := range p.r.Facts.LSMs {
		if l == name {
			return true
		}
	}
	return false
}
