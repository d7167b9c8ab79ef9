package asked

import (
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Resources translates limits; a zero is not asked for. The second value is the OOM
// score adjustment.
func Resources(r *cri.LinuxContainerResources, h Host) (*specs.LinuxResources, *int, error) {
	if r == nil {
		return nil, nil, nil
	}
	if r.GetCpuPeriod() < 0 || r.GetCpuShares() < 0 {
		return nil, nil, invalid("linux.resources", "a cpu period or shares below 0")
	}
	score := int(r.GetOomScoreAdj())
	return &specs.LinuxResources{
		CPU: cpu(r), Memory: memory(r, h), HugepageLimits: hugepages(r.GetHugepageLimits(), h), Unified: r.GetUnified(),
	}, &score, nil
}

func cpu(r *cri.LinuxContainerResources) *specs.LinuxCPU {
	c := &specs.LinuxCPU{Cpus: r.GetCpusetCpus(), Mems: r.GetCpusetMems()}
	if n := uint64(r.GetCpuPeriod()); n != 0 {
		c.Period = &n
	}
	if n := uint64(r.GetCpuShares()); n != 0 {
		c.Shares = &n
	}
	if n := r.GetCpuQuota(); n != 0 {
		c.Quota = &n
	}
	if *c == (specs.LinuxCPU{}) {
		return nil
	}
	return c
}

// memory gives a container no swap unless the request does, which is Kubernetes'
// default and the opposite of Docker's. The kubelet says so even to a host that cannot
// limit swap: there it is nothing to enforce.
func memory(r *cri.LinuxContainerResources, h Host) *specs.LinuxMemory {
	limit, swap := r.GetMemoryLimitInBytes(), r.GetMemorySwapLimitInBytes()
	if limit == 0 && swap == 0 {
		return nil
	}
	if swap == 0 && limit > 0 {
		swap = limit
	}
	m := &specs.LinuxMemory{}
	if limit != 0 {
		m.Limit = &limit
	}
	if swap != 0 && (h.Facts.SwapAccounting || swap != limit) {
		m.Swap = &swap
	}
	return m
}

// hugepages leaves out the zeros that a kubelet sends for every size, where no cgroup
// could keep to them.
func hugepages(in []*cri.HugepageLimit, h Host) []specs.LinuxHugepageLimit {
	var out []specs.LinuxHugepageLimit
	for _, l := range in {
		if h.Hugetlb || l.GetLimit() != 0 {
			out = append(out, specs.LinuxHugepageLimit{Pagesize: l.GetPageSize(), Limit: l.GetLimit()})
		}
	}
	return out
}

// Sandbox translates the limits of a pod as a whole: what its containers may use
// together, and the overhead on top.
func Sandbox(r, overhead *cri.LinuxContainerResources, h Host) (*specs.LinuxResources, error) {
	if r == nil {
		return nil, invalid("resources", "missing")
	}
	if overhead == nil {
		overhead = &cri.LinuxContainerResources{}
	}
	sum := proto.CloneOf(r)
	for _, add := range []struct{ to, more *int64 }{
		{&sum.CpuQuota, &overhead.CpuQuota}, {&sum.CpuShares, &overhead.CpuShares}, {&sum.MemoryLimitInBytes, &overhead.MemoryLimitInBytes},
	} {
		more := max(0, *add.more) // -1 is no quota: it takes nothing away
		if *add.to > math.MaxInt64-more {
			return nil, invalid("overhead", "%d more than %d is no limit", more, *add.to)
		}
		if *add.to > 0 { // overhead of what has no limit has none
			*add.to += more
		}
	}
	limits, _, err := Resources(sum, h)
	return limits, err
}
