package cgroup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

func ptr[T any](v T) *T { return &v }

func hostOf(v Version) Host {
	h := Host{}
	for _, c := range []string{"memory", "cpu", "cpuset", "pids", "io", "hugetlb", "rdma", "devices"} {
		h[c] = v
	}
	if v == V1 {
		h["net_cls"], h["net_prio"] = V1, V1
	}
	return h
}

// text shows writes as "file=value", with the fallback behind a bar.
func text(writes []Write) []string {
	var out []string
	for _, w := range writes {
		s := w.File + "=" + w.Value
		if w.Or != nil {
			s += "|" + w.Or.File + "=" + w.Or.Value
		}
		out = append(out, s)
	}
	return out
}

func throttle(major, minor int64, rate uint64) specs.LinuxThrottleDevice {
	t := specs.LinuxThrottleDevice{Rate: rate}
	t.Major, t.Minor = major, minor
	return t
}

func weightDevice(w uint16) specs.LinuxWeightDevice {
	d := specs.LinuxWeightDevice{Weight: &w}
	d.Major, d.Minor = 8, 16
	return d
}

func TestLimits(t *testing.T) {
	mem := func(limit, swap int64) *specs.LinuxMemory {
		m := &specs.LinuxMemory{}
		if limit != 0 {
			m.Limit = &limit
		}
		if swap != 0 {
			m.Swap = &swap
		}
		return m
	}
	tests := map[string]struct {
		res    specs.LinuxResources
		now    specs.LinuxResources
		v1, v2 []string
	}{
		"nothing": {},
		"memory and swap": {res: specs.LinuxResources{Memory: mem(100, 300)},
			v1: []string{"memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=300"},
			v2: []string{"memory.swap.max=200", "memory.max=100"}},
		"no swap at all": {res: specs.LinuxResources{Memory: mem(100, 100)},
			v1: []string{"memory.limit_in_bytes=100", "memory.memsw.limit_in_bytes=100"},
			v2: []string{"memory.swap.max=0", "memory.max=100"}},
		"unlimited memory frees swap": {res: specs.LinuxResources{Memory: mem(-1, 0)}, now: specs.LinuxResources{Memory: mem(100, 300)},
			v1: []string{"memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"},
			v2: []string{"memory.swap.max=max", "memory.max=max"}},
		"both raised": {res: specs.LinuxResources{Memory: mem(400, 600)}, now: specs.LinuxResources{Memory: mem(100, 300)},
			v1: []string{"memory.memsw.limit_in_bytes=600", "memory.limit_in_bytes=400"},
			v2: []string{"memory.swap.max=200", "memory.max=400"}},
		"both lowered": {res: specs.LinuxResources{Memory: mem(50, 60)}, now: specs.LinuxResources{Memory: mem(100, 300)},
			v1: []string{"memory.limit_in_bytes=50", "memory.memsw.limit_in_bytes=60"},
			v2: []string{"memory.swap.max=10", "memory.max=50"}},
		"limit alone keeps the total": {res: specs.LinuxResources{Memory: mem(200, 0)}, now: specs.LinuxResources{Memory: mem(100, 300)},
			v1: []string{"memory.limit_in_bytes=200"},
			v2: []string{"memory.swap.max=100", "memory.max=200"}},
		"reservation": {res: specs.LinuxResources{Memory: &specs.LinuxMemory{Reservation: ptr(int64(50))}},
			v1: []string{"memory.soft_limit_in_bytes=50"}, v2: []string{"memory.low=50"}},
		"cpu": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(7))}},
			v1: []string{"cpu.shares=1024", "cpu.cfs_period_us=100000", "cpu.cfs_burst_us=7", "cpu.cfs_quota_us=50000"},
			v2: []string{"cpu.weight=100", "cpu.max=50000 100000", "cpu.max.burst=7"}},
		"period alone keeps the quota": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Period: ptr(uint64(50000))}}, now: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(9000))}},
			v1: []string{"cpu.cfs_period_us=50000"}, v2: []string{"cpu.max=9000 50000"}},
		"new period and quota": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(9000)), Period: ptr(uint64(10000))}}, now: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(50000))}},
			v1: []string{"cpu.cfs_quota_us=-1", "cpu.cfs_period_us=10000", "cpu.cfs_quota_us=9000"}, v2: []string{"cpu.max=9000 10000"}},
		"less burst first": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(9000)), Burst: ptr(uint64(1))}}, now: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(50000)), Burst: ptr(uint64(40000))}},
			v1: []string{"cpu.cfs_quota_us=-1", "cpu.cfs_burst_us=1", "cpu.cfs_quota_us=9000"}, v2: []string{"cpu.max.burst=1", "cpu.max=9000"}},
		"no quota": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}, v1: []string{"cpu.cfs_quota_us=-1"}, v2: []string{"cpu.max=max"}},
		"idle last": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1)), Shares: ptr(uint64(2))}},
			v1: []string{"cpu.shares=2", "cpu.idle=1"}, v2: []string{"cpu.weight=1", "cpu.idle=1"}},
		"idle no more": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(0)), Shares: ptr(uint64(2))}},
			v1: []string{"cpu.idle=0", "cpu.shares=2"}, v2: []string{"cpu.idle=0", "cpu.weight=1"}},
		"cpuset": {res: specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-3,7", Mems: "0"}},
			v1: []string{"cpuset.cpus=0-3,7", "cpuset.mems=0"}, v2: []string{"cpuset.cpus=0-3,7", "cpuset.mems=0"}},
		"pids":           {res: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, v1: []string{"pids.max=1"}, v2: []string{"pids.max=1"}},
		"pids unlimited": {res: specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, v1: []string{"pids.max=max"}, v2: []string{"pids.max=max"}},
		"throttles": {res: specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{throttle(8, 0, 5)}, ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{throttle(8, 0, 0)}}},
			v1: []string{"blkio.throttle.read_bps_device=8:0 5", "blkio.throttle.write_iops_device=8:0 0"}, v2: []string{"io.max=8:0 rbps=5", "io.max=8:0 wiops=max"}},
		"weights": {res: specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(500)), WeightDevice: []specs.LinuxWeightDevice{weightDevice(1000)}}},
			v1: []string{"blkio.bfq.weight=500|blkio.weight=500", "blkio.bfq.weight_device=8:16 1000|blkio.weight_device=8:16 1000"},
			v2: []string{"io.bfq.weight=500|io.weight=default 4950", "io.bfq.weight=8:16 1000|io.weight=8:16 10000"}},
		"huge pages": {res: specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4096}}},
			v1: []string{"hugetlb.2MB.limit_in_bytes=4096", "hugetlb.2MB.rsvd.limit_in_bytes=4096"},
			v2: []string{"hugetlb.2MB.max=4096", "hugetlb.2MB.rsvd.max=4096"}},
		"rdma": {res: specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx": {HcaHandles: ptr(uint32(2)), HcaObjects: ptr(uint32(3))}}},
			v1: []string{"rdma.max=mlx hca_handle=2 hca_object=3"}, v2: []string{"rdma.max=mlx hca_handle=2 hca_object=3"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for v, want := range map[Version][]string{V1: tt.v1, V2: tt.v2} {
				got, err := Limits(&tt.res, tt.now, hostOf(v))
				if d := cmp.Diff(want, text(got)); d != "" || err != nil {
					t.Errorf("v%d: %v %s", v, err, d)
				}
				for _, w := range got {
					if w.Field == "" || w.Controller == "" {
						t.Errorf("v%d: %+v names no field or controller", v, w)
					}
				}
			}
		})
	}
}

func TestOneVersionOnly(t *testing.T) {
	v1 := specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Swappiness: ptr(uint64(60)), KernelTCP: ptr(int64(5)), DisableOOMKiller: ptr(true)},
		CPU:     &specs.LinuxCPU{RealtimePeriod: ptr(uint64(10)), RealtimeRuntime: ptr(int64(5))},
		Network: &specs.LinuxNetwork{ClassID: ptr(uint32(7)), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 3}}},
	}
	got, err := Limits(&v1, specs.LinuxResources{}, hostOf(V1))
	want := []string{"memory.kmem.tcp.limit_in_bytes=5", "memory.swappiness=60", "memory.oom_control=1", "cpu.rt_period_us=10", "cpu.rt_runtime_us=5",
		"net_cls.classid=7", "net_prio.ifpriomap=eth0 3"}
	if d := cmp.Diff(want, text(got)); d != "" || err != nil {
		t.Error(err, d)
	}
	v2 := specs.LinuxResources{Unified: map[string]string{"memory.high": "100", "cpu.weight": "5"}}
	got, err = Limits(&v2, specs.LinuxResources{}, hostOf(V2))
	if d := cmp.Diff([]string{"cpu.weight=5", "memory.high=100"}, text(got)); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestLimitsRefuses(t *testing.T) {
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	io := func(b specs.LinuxBlockIO) specs.LinuxResources { return specs.LinuxResources{BlockIO: &b} }
	unified := func(k string) specs.LinuxResources { return specs.LinuxResources{Unified: map[string]string{k: "1"}} }
	tests := map[string]struct {
		res  specs.LinuxResources
		host Host
		kind fault.Kind
		text string
	}{
		"no memory controller": {memory(specs.LinuxMemory{Limit: ptr(int64(1))}), Host{}, fault.Unsupported, "memory: no memory controller"},
		"no pids controller":   {specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(1))}}, Host{}, fault.Unsupported, "pids.limit"},
		"no hugetlb":           {specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB"}}}, Host{}, fault.Unsupported, "hugepageLimits[2MB]: no hugetlb controller"},
		"no net_cls":           {specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}}, hostOf(V2), fault.Unsupported, "network.classID"},
		"no io":                {io(specs.LinuxBlockIO{Weight: ptr(uint16(100))}), Host{}, fault.Unsupported, "blockIO.weight"},
		"swap below memory":    {memory(specs.LinuxMemory{Limit: ptr(int64(9)), Swap: ptr(int64(8))}), hostOf(V1), fault.Invalid, "memory.swap"},
		"swap without memory":  {memory(specs.LinuxMemory{Swap: ptr(int64(8))}), hostOf(V2), fault.Invalid, "memory.swap"},
		"negative memory":      {memory(specs.LinuxMemory{Limit: ptr(int64(-2))}), hostOf(V1), fault.Invalid, "memory.limit"},
		//lint:ignore SA1019 a deprecated field that is set must still be refused by name
		"kernel memory":         {memory(specs.LinuxMemory{Kernel: ptr(int64(1))}), hostOf(V1), fault.Unsupported, "memory.kernel"},
		"swappiness on v2":      {memory(specs.LinuxMemory{Swappiness: ptr(uint64(1))}), hostOf(V2), fault.Unsupported, "memory.swappiness"},
		"oom killer on v2":      {memory(specs.LinuxMemory{DisableOOMKiller: ptr(true)}), hostOf(V2), fault.Unsupported, "memory.disableOOMKiller"},
		"flat accounting":       {memory(specs.LinuxMemory{UseHierarchy: ptr(false)}), hostOf(V1), fault.Unsupported, "memory.useHierarchy"},
		"burst above quota":     {cpu(specs.LinuxCPU{Quota: ptr(int64(5)), Burst: ptr(uint64(6))}), hostOf(V2), fault.Invalid, "cpu.burst"},
		"idle 2":                {cpu(specs.LinuxCPU{Idle: ptr(int64(2))}), hostOf(V2), fault.Invalid, "cpu.idle"},
		"real time on v2":       {cpu(specs.LinuxCPU{RealtimePeriod: ptr(uint64(2))}), hostOf(V2), fault.Unsupported, "cpu.realtime"},
		"cpus with a newline":   {cpu(specs.LinuxCPU{Cpus: "0\n1"}), hostOf(V1), fault.Invalid, "cpu.cpus"},
		"weight too low":        {io(specs.LinuxBlockIO{Weight: ptr(uint16(9))}), hostOf(V1), fault.Invalid, "blockIO.weight"},
		"leaf weight":           {io(specs.LinuxBlockIO{LeafWeight: ptr(uint16(9))}), hostOf(V1), fault.Unsupported, "blockIO.leafWeight"},
		"page size with a path": {specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../2MB"}}}, hostOf(V1), fault.Invalid, "hugepageLimits"},
		"interface with a path": {specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "a b"}}}}, hostOf(V1), fault.Invalid, "network.priorities"},
		"unified on v1":         {unified("memory.high"), hostOf(V1), fault.Unsupported, "unified[memory.high]"},
		"unified path":          {unified("memory.x/../../y"), hostOf(V2), fault.Invalid, "unified"},
		"unified core file":     {unified("cgroup.procs"), hostOf(V2), fault.Invalid, "unified"},
		"unified unknown":       {unified("nonsense.high"), hostOf(V2), fault.Unsupported, "unified[nonsense.high]"},
	}
	for name, tt := range tests {
		_, err := Limits(&tt.res, specs.LinuxResources{}, tt.host)
		if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
