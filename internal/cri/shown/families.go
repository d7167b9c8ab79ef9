package shown

import (
	"slices"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/status"
)

// groupFamilies are those of every group, a pod's and a container's.
func groupFamilies() []family[GroupUse] {
	return slices.Concat(cpuFamilies(), memoryFamilies(), deviceFamilies(), processFamilies(), pressureFamilies())
}

// containerFamilies are those that only containers have.
func containerFamilies() []family[ContainerUse] {
	return slices.Concat(writtenFamilies(), specFamilies())
}

func seconds(nanoseconds uint64) float64 { return float64(nanoseconds) / float64(time.Second) }

func cpuFamilies() []family[GroupUse] {
	type u = GroupUse
	return []family[GroupUse]{
		{name: "container_cpu_usage_seconds_total", help: "CPU time used", kind: counter, labels: []string{"cpu"},
			of: func(c u, tell func(float64, ...string)) { tell(seconds(c.Stats.CPUTotal), "total") }},
		plain("container_cpu_user_seconds_total", "CPU time used in user mode", counter, func(c u) float64 { return seconds(c.Stats.Details.CPUUser) }),
		plain("container_cpu_system_seconds_total", "CPU time used in the kernel", counter, func(c u) float64 { return seconds(c.Stats.Details.CPUSystem) }),
		plain("container_cpu_cfs_periods_total", "Periods of the CPU limit that have passed", counter, func(c u) uint64 { return c.Stats.Details.CPUPeriods }),
		plain("container_cpu_cfs_throttled_periods_total", "Periods in which the CPU limit was met", counter, func(c u) uint64 { return c.Stats.Details.CPUThrottled }),
		plain("container_cpu_cfs_throttled_seconds_total", "Time throttled by the CPU limit", counter, func(c u) float64 { return seconds(c.Stats.CPUThrottled) }),
	}
}

func memoryFamilies() []family[GroupUse] {
	type u = GroupUse
	return []family[GroupUse]{
		plain("container_memory_usage_bytes", "Memory used, with caches", gauge, func(c u) uint64 { return c.Stats.MemoryUsage }),
		plain("container_memory_working_set_bytes", "Memory used, without the inactive file cache", gauge, func(c u) uint64 { return c.Stats.MemoryWorkingSet }),
		plain("container_memory_max_usage_bytes", "Most memory ever used", gauge, func(c u) uint64 { return c.Extremes.Peak }),
		plain("container_memory_rss", "Anonymous memory", gauge, func(c u) uint64 { return c.Stats.Details.MemoryRSS }),
		plain("container_memory_cache", "Page cache", gauge, func(c u) uint64 { return c.Stats.Details.MemoryCache }),
		plain("container_memory_mapped_file", "Memory-mapped files", gauge, func(c u) uint64 { return c.Extremes.Mapped }),
		plain("container_memory_kernel_usage", "Kernel memory", gauge, func(c u) uint64 { return c.Extremes.Kernel }),
		plain("container_memory_swap", "Swap used", gauge, func(c u) uint64 { return c.Stats.SwapUsage }),
		plain("container_memory_failcnt", "How often the memory limit was met", counter, func(c u) uint64 { return c.Extremes.Failures }),
		{name: "container_memory_failures_total", help: "Page faults", kind: counter, labels: []string{"failure_type", "scope"},
			of: func(c u, tell func(float64, ...string)) {
				tell(float64(c.Stats.Details.PageFaults), "pgfault", "hierarchy")
				tell(float64(c.Stats.Details.MajorFaults), "pgmajfault", "hierarchy")
			}},
		plain("container_oom_events_total", "Processes killed for want of memory", counter, func(c u) uint64 { return c.Stats.OOMKills }),
	}
}

func deviceFamilies() []family[GroupUse] {
	type u = GroupUse
	return []family[GroupUse]{
		onDevice("container_fs_reads_bytes_total", "Bytes read from block devices", counter, func(c u) uint64 { return c.Stats.IORead }),
		onDevice("container_fs_reads_total", "Reads from block devices", counter, func(c u) uint64 { return c.Stats.Details.IOReads }),
		onDevice("container_fs_writes_bytes_total", "Bytes written to block devices", counter, func(c u) uint64 { return c.Stats.IOWrite }),
		onDevice("container_fs_writes_total", "Writes to block devices", counter, func(c u) uint64 { return c.Stats.Details.IOWrites }),
		{name: "container_blkio_device_usage_total", help: "Bytes moved from and to block devices", kind: counter,
			labels: []string{"device", "major", "minor", "operation"},
			of: func(c u, tell func(float64, ...string)) {
				tell(float64(c.Stats.IORead), "", "", "", "Read")
				tell(float64(c.Stats.IOWrite), "", "", "", "Write")
			}},
	}
}

// writtenFamilies are about what a container has written, and where. What could not be
// counted is not said to be nothing.
func writtenFamilies() []family[ContainerUse] {
	type u = ContainerUse
	usage := onDevice("container_fs_usage_bytes", "Bytes that the container has written", gauge, func(c u) uint64 { return c.Written })
	of := usage.of
	usage.of = func(c u, tell func(float64, ...string)) {
		if !c.Uncounted {
			of(c, tell)
		}
	}
	return []family[ContainerUse]{
		usage,
		onDevice("container_fs_limit_bytes", "Bytes of the file system it writes to", gauge, func(c u) uint64 { return c.Size }),
		onDevice("container_fs_inodes_total", "Inodes of the file system it writes to", gauge, func(c u) uint64 { return c.Inodes }),
		onDevice("container_fs_inodes_free", "Free inodes of the file system it writes to", gauge, func(c u) uint64 { return c.FreeInodes }),
	}
}

func processFamilies() []family[GroupUse] {
	type u = GroupUse
	return []family[GroupUse]{
		plain("container_processes", "Processes", gauge, func(c u) uint64 { return c.Census.Processes }),
		plain("container_threads", "Threads", gauge, func(c u) uint64 { return c.Census.Threads }),
		plain("container_threads_max", "Limit of threads, 0 is none", gauge, func(c u) uint64 { return c.Stats.PidsLimit }),
		plain("container_file_descriptors", "Open descriptors", gauge, func(c u) uint64 { return c.Census.Descriptors }),
		plain("container_sockets", "Open sockets", gauge, func(c u) uint64 { return c.Census.Sockets }),
		plain("container_last_seen", "When it was seen last, Unix time", gauge, func(c u) uint64 { return uint64(c.Stats.At.Unix()) }),
		plain("container_start_time_seconds", "When it was started, Unix time", gauge, func(c u) uint64 { return uint64(c.Since.Unix()) }),
	}
}

func specFamilies() []family[ContainerUse] {
	limit := func(of func(*cri.LinuxContainerResources) int64) func(ContainerUse) uint64 {
		return func(c ContainerUse) uint64 { return uint64(max(0, of(resources(c.Container.Spec)))) }
	}
	reservation := func(c ContainerUse) uint64 {
		r := c.Container.Spec.Resources
		if r == nil || r.Memory == nil {
			return 0
		}
		return uint64(max(0, value(r.Memory.Reservation)))
	}
	return []family[ContainerUse]{
		plain("container_spec_cpu_period", "Period of the CPU limit in microseconds", gauge, limit((*cri.LinuxContainerResources).GetCpuPeriod)),
		plain("container_spec_cpu_quota", "CPU limit in microseconds of each period, 0 is none", gauge, limit((*cri.LinuxContainerResources).GetCpuQuota)),
		plain("container_spec_cpu_shares", "Weight among those who want the CPU", gauge, limit((*cri.LinuxContainerResources).GetCpuShares)),
		plain("container_spec_memory_limit_bytes", "Memory limit, 0 is none", gauge, limit((*cri.LinuxContainerResources).GetMemoryLimitInBytes)),
		plain("container_spec_memory_swap_limit_bytes", "Limit of memory and swap together, 0 is none", gauge, limit((*cri.LinuxContainerResources).GetMemorySwapLimitInBytes)),
		plain("container_spec_memory_reservation_limit_bytes", "Memory reservation, 0 is none", gauge, reservation),
	}
}

// pressureFamilies have values where the kernel has pressure stall information.
func pressureFamilies() []family[GroupUse] {
	var out []family[GroupUse]
	for _, what := range []struct {
		name  string
		stall func(status.Details) *status.Stall
	}{
		{"cpu", func(d status.Details) *status.Stall { return d.CPUStall }},
		{"memory", func(d status.Details) *status.Stall { return d.MemoryStall }},
		{"io", func(d status.Details) *status.Stall { return d.IOStall }},
	} {
		out = append(out, pressureFamily(what.name, "waiting", "some tasks", func(c GroupUse) *status.Pressure {
			if s := what.stall(c.Stats.Details); s != nil {
				return &s.Some
			}
			return nil
		}), pressureFamily(what.name, "stalled", "all tasks", func(c GroupUse) *status.Pressure {
			if s := what.stall(c.Stats.Details); s != nil {
				return &s.Full
			}
			return nil
		}))
	}
	return out
}

func pressureFamily(what, how, who string, of func(GroupUse) *status.Pressure) family[GroupUse] {
	return family[GroupUse]{
		name: "container_pressure_" + what + "_" + how + "_seconds_total", help: "Time that " + who + " waited for " + what, kind: counter,
		of: func(c GroupUse, tell func(float64, ...string)) {
			if p := of(c); p != nil {
				tell(float64(p.Total) / 1_000_000)
			}
		},
	}
}
