package shown

import (
	"math"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/status"
	"carob/internal/sys/procfs"
)

// Use is what a container uses.
type Use struct {
	Stats status.Stats
	// Rate is the present CPU use in nanoseconds per second.
	Rate uint64
	// Written and Files are the bytes and inodes of what it wrote, below Root, which is
	// empty when nobody knows.
	Written, Files uint64
	Root           string
}

// ContainerStats are a container's numbers.
func ContainerStats(c status.Container, u Use) *cri.ContainerStats {
	s := u.Stats
	out := &cri.ContainerStats{
		Attributes: &cri.ContainerAttributes{
			Id: c.ID, Metadata: containerMetadata(c), Labels: c.Spec.Labels, Annotations: c.Spec.Annotations,
		},
		Cpu: cpuUse(s, u.Rate), Memory: memoryUse(s), Swap: swapUse(s), Io: ioUse(s),
	}
	if u.Root != "" {
		out.WritableLayer = &cri.FilesystemUsage{
			Timestamp: s.At.UnixNano(), FsId: &cri.FilesystemIdentifier{Mountpoint: u.Root}, UsedBytes: number(u.Written), InodesUsed: number(u.Files),
		}
	}
	return out
}

func cpuUse(s status.Stats, rate uint64) *cri.CpuUsage {
	return &cri.CpuUsage{
		Timestamp: s.At.UnixNano(), UsageCoreNanoSeconds: number(s.CPUTotal), UsageNanoCores: number(rate), Psi: psi(s.Details.CPUStall),
	}
}

// memoryUse: what is available is what a limit leaves; without one there is no answer.
func memoryUse(s status.Stats) *cri.MemoryUsage {
	m := &cri.MemoryUsage{
		Timestamp: s.At.UnixNano(), WorkingSetBytes: number(s.MemoryWorkingSet), UsageBytes: number(s.MemoryUsage),
		RssBytes: number(s.Details.MemoryRSS), PageFaults: number(s.Details.PageFaults), MajorPageFaults: number(s.Details.MajorFaults),
		AvailableBytes: number(0), Psi: psi(s.Details.MemoryStall),
	}
	if limit := s.MemoryLimit; limit > 0 && limit < math.MaxInt64/4096*4096 { // cgroup v1's number for none
		m.AvailableBytes = number(limit - min(limit, s.MemoryWorkingSet))
	}
	return m
}

func swapUse(s status.Stats) *cri.SwapUsage {
	u := &cri.SwapUsage{Timestamp: s.At.UnixNano(), SwapUsageBytes: number(s.SwapUsage)}
	if limit := s.Details.SwapLimit; limit > 0 {
		u.SwapAvailableBytes = number(limit - min(limit, s.SwapUsage))
	}
	return u
}

func ioUse(s status.Stats) *cri.IoUsage {
	if s.Details.IOStall == nil {
		return nil
	}
	return &cri.IoUsage{Timestamp: s.At.UnixNano(), Psi: psi(s.Details.IOStall)}
}

func psi(s *status.Stall) *cri.PsiStats {
	if s == nil {
		return nil
	}
	return &cri.PsiStats{Full: pressure(s.Full), Some: pressure(s.Some)}
}

// pressure is in nanoseconds, the kernel's in microseconds.
func pressure(p status.Pressure) *cri.PsiData {
	return &cri.PsiData{Total: p.Total * 1000, Avg10: p.Avg10, Avg60: p.Avg60, Avg300: p.Avg300}
}

func number(n uint64) *cri.UInt64Value { return &cri.UInt64Value{Value: n} }

// SandboxUse is what a pod uses.
type SandboxUse struct {
	Stats      status.Stats
	Rate       uint64
	Links      []procfs.Link
	Containers []*cri.ContainerStats
}

// SandboxStats are a pod's numbers.
func SandboxStats(p status.Pod, u SandboxUse) *cri.PodSandboxStats {
	at := u.Stats.At.UnixNano()
	return &cri.PodSandboxStats{
		Attributes: &cri.PodSandboxAttributes{
			Id: p.ID, Metadata: sandboxMetadata(p), Labels: p.Spec.Labels, Annotations: p.Spec.Annotations,
		},
		Linux: &cri.LinuxPodSandboxStats{
			Cpu: cpuUse(u.Stats, u.Rate), Memory: memoryUse(u.Stats), Io: ioUse(u.Stats), Network: networkUse(at, u.Links),
			Process: &cri.ProcessUsage{Timestamp: at, ProcessCount: number(u.Stats.Pids)}, Containers: u.Containers,
		},
	}
}

// networkUse has eth0, or the first that is there, as the default interface. Without one
// there is no answer: a kubelet that takes pods' stats from the CRI (v1.37) dies of an
// answer that has no default interface.
func networkUse(at int64, links []procfs.Link) *cri.NetworkUsage {
	if len(links) == 0 {
		return nil
	}
	u := &cri.NetworkUsage{Timestamp: at}
	for _, l := range links {
		one := &cri.NetworkInterfaceUsage{
			Name: l.Name, RxBytes: number(l.Received.Bytes), RxErrors: number(l.Received.Errors),
			TxBytes: number(l.Sent.Bytes), TxErrors: number(l.Sent.Errors),
		}
		if u.DefaultInterface == nil || l.Name == "eth0" {
			u.DefaultInterface = one
		}
		u.Interfaces = append(u.Interfaces, one)
	}
	return u
}
