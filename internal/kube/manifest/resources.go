package manifest

import (
	"fmt"
	"math"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	hugepages = "hugepages-"
	// The kubelet's numbers (pkg/kubelet/cm/helpers_linux.go).
	sharesPerCPU = 1024
	minShares    = 2
	maxShares    = 262144
	quotaPeriod  = 100000
	minQuota     = 1000
	// maxMilliCPU keeps milli-CPUs times the period within 64 bits.
	maxMilliCPU = 1 << 40
)

func isHugepages(n corev1.ResourceName) bool { return strings.HasPrefix(string(n), hugepages) }

// quantity checks one entry of limits or requests; false ends the checks of it.
func (k containerCheck) quantity(at string, name corev1.ResourceName, q resource.Quantity) bool {
	switch {
	case q.Sign() < 0:
		k.invalidf(at, "%s is negative", q.String())
		return false
	case isHugepages(name):
		return k.pages(at, name, q)
	case name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage:
		return true
	}
	k.unsupported(at, notSupported+" (only cpu, memory, hugepages-SIZE, ephemeral-storage)"+
		didYouMean(string(name), []string{"cpu", "memory", "ephemeral-storage"}))
	return false
}

func (k containerCheck) pages(at string, name corev1.ResourceName, q resource.Quantity) bool {
	page, err := pageSize(name)
	if err != nil {
		k.invalidf(at, "%v", err)
		return false
	}
	if q.Value()%page != 0 {
		k.invalidf(at, "%s is not a multiple of the page size", q.String())
	}
	return true
}

// pageSize reads the page size in bytes from hugepages-2Mi.
func pageSize(name corev1.ResourceName) (int64, error) {
	text := strings.TrimPrefix(string(name), hugepages)
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Value() <= 0 {
		return 0, fmt.Errorf("%q is not a page size (such as 2Mi)", text)
	}
	return q.Value(), nil
}

// pageName is how the OCI and the hugetlb files write a page size: 64KB, 2MB, 1GB.
func pageName(size int64) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	i := 0
	for ; size%1024 == 0 && i < len(units)-1; i++ {
		size /= 1024
	}
	return fmt.Sprintf("%d%s", size, units[i])
}

// amount is a quantity as an integer: milli-CPUs, or bytes.
func amount(list corev1.ResourceList, name corev1.ResourceName) int64 {
	q := list[name]
	if name == corev1.ResourceCPU {
		return min(q.MilliValue(), maxMilliCPU)
	}
	return q.Value()
}

func cpuShares(milli int64) *uint64 {
	return new(uint64(min(max(milli*sharesPerCPU/1000, minShares), maxShares)))
}

// cpuLimit is the quota per period; it cannot be smaller than the kernel's 1 ms.
func cpuLimit(cpu *specs.LinuxCPU, milli int64) {
	if milli == 0 {
		return
	}
	cpu.Quota = new(max(milli*quotaPeriod/1000, minQuota))
	cpu.Period = new(uint64(quotaPeriod))
}

// containerResources are a container's cgroup limits, as the kubelet computes them.
// One difference: when no container of the pod requests CPU, shares stay at the
// kernel's default instead of the minimum, for there is no quality of service class
// to lose against.
func containerResources(c *corev1.Container, podRequestsCPU bool) *specs.LinuxResources {
	cpu := &specs.LinuxCPU{}
	if podRequestsCPU {
		cpu.Shares = cpuShares(amount(c.Resources.Requests, corev1.ResourceCPU))
	}
	cpuLimit(cpu, amount(c.Resources.Limits, corev1.ResourceCPU))
	return assemble(cpu, amount(c.Resources.Limits, corev1.ResourceMemory), hugepageLimits(c))
}

func hugepageLimits(c *corev1.Container) map[corev1.ResourceName]int64 {
	all := map[corev1.ResourceName]int64{}
	for name := range c.Resources.Limits {
		if isHugepages(name) {
			all[name] = amount(c.Resources.Limits, name)
		}
	}
	return all
}

// assemble leaves out what is not limited; nil when nothing is.
func assemble(cpu *specs.LinuxCPU, memory int64, pages map[corev1.ResourceName]int64) *specs.LinuxResources {
	res := &specs.LinuxResources{}
	if *cpu != (specs.LinuxCPU{}) {
		res.CPU = cpu
	}
	if memory > 0 {
		res.Memory = &specs.LinuxMemory{Limit: &memory}
	}
	for _, name := range sortedKeys(pages) {
		if size, err := pageSize(name); err == nil {
			res.HugepageLimits = append(res.HugepageLimits,
				specs.LinuxHugepageLimit{Pagesize: pageName(size), Limit: uint64(pages[name])})
		}
	}
	if res.CPU == nil && res.Memory == nil && res.HugepageLimits == nil {
		return nil
	}
	return res
}

// podResources are the pod cgroup's limits: CPU and memory only when every
// container has that limit (the kubelet's ResourceConfigForPod).
func podResources(p *corev1.Pod) *specs.LinuxResources {
	cpu, memory, pages := &specs.LinuxCPU{}, int64(0), map[corev1.ResourceName]int64{}
	cpuLimited, memoryLimited := true, true
	eachContainer(p, func(_ string, c *corev1.Container) {
		cpuLimited = cpuLimited && amount(c.Resources.Limits, corev1.ResourceCPU) > 0
		memoryLimited = memoryLimited && amount(c.Resources.Limits, corev1.ResourceMemory) > 0
		for name := range hugepageLimits(c) {
			pages[name] = 0
		}
	})
	if requestsCPU(p) {
		cpu.Shares = cpuShares(total(p, corev1.ResourceCPU, requests))
	}
	if cpuLimited {
		cpuLimit(cpu, total(p, corev1.ResourceCPU, limits))
	}
	if memoryLimited {
		memory = total(p, corev1.ResourceMemory, limits)
	}
	for name := range pages {
		pages[name] = total(p, name, limits)
	}
	return assemble(cpu, memory, pages)
}

func requests(c *corev1.Container) corev1.ResourceList { return c.Resources.Requests }
func limits(c *corev1.Container) corev1.ResourceList   { return c.Resources.Limits }

func requestsCPU(p *corev1.Pod) bool { return total(p, corev1.ResourceCPU, requests) > 0 }

// total is what the pod uses of a resource at its peak: the containers and sidecars
// together, or one init container with the sidecars that were started before it
// (KEP-753).
func total(p *corev1.Pod, name corev1.ResourceName, of func(*corev1.Container) corev1.ResourceList) int64 {
	var sidecars, peak, sum int64
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		n := amount(of(c), name)
		if isSidecar(c) {
			sidecars = plus(sidecars, n)
			n = 0
		}
		peak = max(peak, plus(sidecars, n))
	}
	sum = sidecars
	for i := range p.Spec.Containers {
		sum = plus(sum, amount(of(&p.Spec.Containers[i]), name))
	}
	return max(peak, sum)
}

// plus adds without overflow: a manifest may ask for 8Ei twice.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
