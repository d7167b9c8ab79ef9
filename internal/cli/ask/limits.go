package ask

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/pflag"
)

// Limits are the flags on resources, common to run, create and update.
type Limits struct {
	memory, memorySwap, memoryReservation string
	memorySwappiness                      int64
	oomKillDisable                        bool
	cpus                                  string
	cpuPeriod, cpuQuota, cpuShares        int64
	cpusetCPUs, cpusetMems                string
	pids                                  int64
	blkioWeight                           uint16
	blkioWeightDevice                     []string
	readBps, writeBps, readIOPS           []string
	writeIOPS                             []string

	set *pflag.FlagSet
}

// Bind registers the flags that also `update` has.
func (l *Limits) Bind(fs *pflag.FlagSet) {
	l.set = fs
	fs.StringVarP(&l.memory, "memory", "m", "", "memory limit `BYTES` (b, k, m, g; 512MB)")
	fs.StringVar(&l.memorySwap, "memory-swap", "", "limit of memory and swap together, -1 for unlimited; twice the memory when not given")
	fs.StringVar(&l.memoryReservation, "memory-reservation", "", "soft memory limit `BYTES`")
	fs.StringVar(&l.cpus, "cpus", "", "number of CPUs, 0.5 for half of one")
	fs.Int64Var(&l.cpuPeriod, "cpu-period", 0, "CFS period in `MICROSECONDS`")
	fs.Int64Var(&l.cpuQuota, "cpu-quota", 0, "CFS quota in `MICROSECONDS`")
	fs.Int64VarP(&l.cpuShares, "cpu-shares", "c", 0, "CPU weight relative to others; 1024 is usual")
	fs.StringVar(&l.cpusetCPUs, "cpuset-cpus", "", "CPUs to run on (0-3, 0,1)")
	fs.StringVar(&l.cpusetMems, "cpuset-mems", "", "memory nodes to use (0-3, 0,1)")
	fs.Int64Var(&l.pids, "pids-limit", 0, "limit of processes and threads, -1 for unlimited")
	fs.Uint16Var(&l.blkioWeight, "blkio-weight", 0, "block I/O weight, 10 to 1000")
}

// BindMore registers the flags that only a new container has.
func (l *Limits) BindMore(fs *pflag.FlagSet) {
	fs.Int64Var(&l.memorySwappiness, "memory-swappiness", -1, "swappiness, 0 to 100 (cgroup v1)")
	fs.BoolVar(&l.oomKillDisable, "oom-kill-disable", false, "do not kill when out of memory (cgroup v1)")
	fs.Var((*List)(&l.blkioWeightDevice), "blkio-weight-device", "block I/O weight of one device `DEVICE:WEIGHT`")
	fs.Var((*List)(&l.readBps), "device-read-bps", "limit reading from a device `DEVICE:BYTES` per second")
	fs.Var((*List)(&l.writeBps), "device-write-bps", "limit writing to a device `DEVICE:BYTES` per second")
	fs.Var((*List)(&l.readIOPS), "device-read-iops", "limit reads of a device `DEVICE:COUNT` per second")
	fs.Var((*List)(&l.writeIOPS), "device-write-iops", "limit writes of a device `DEVICE:COUNT` per second")
}

// Resources translates the flags; nil when none was given.
func (l *Limits) Resources(h Host) (*specs.LinuxResources, error) {
	var r specs.LinuxResources
	var err error
	if r.Memory, err = l.memories(); err != nil {
		return nil, err
	}
	if r.CPU, err = l.cpu(); err != nil {
		return nil, err
	}
	if r.BlockIO, err = l.blockIO(h); err != nil {
		return nil, err
	}
	if l.set.Changed("pids-limit") {
		n := l.pids
		if n <= 0 { // Docker: 0 and -1 are unlimited
			n = -1
		}
		r.Pids = &specs.LinuxPids{Limit: &n}
	}
	if r.Memory == nil && r.CPU == nil && r.BlockIO == nil && r.Pids == nil {
		return nil, nil
	}
	return &r, nil
}

// size reads a size; minusOne allows "-1".
func size(flag, s string, minusOne bool) (*int64, error) {
	if s == "" {
		return nil, nil
	}
	if minusOne && s == "-1" {
		n := int64(-1)
		return &n, nil
	}
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return nil, bad(flag, s, "not a size; write bytes or a number with b, k, m, g")
	}
	return &n, nil
}

func (l *Limits) memories() (*specs.LinuxMemory, error) {
	var m specs.LinuxMemory
	var err error
	if m.Limit, err = size("memory", l.memory, false); err != nil {
		return nil, err
	}
	if m.Reservation, err = size("memory-reservation", l.memoryReservation, false); err != nil {
		return nil, err
	}
	limit := number(m.Limit)
	if limit > 0 && number(m.Reservation) > limit {
		return nil, bad("memory-reservation", l.memoryReservation, "is more than --memory "+l.memory)
	}
	if m.Swap, err = l.swap(limit); err != nil {
		return nil, err
	}
	if l.memorySwappiness > 100 || l.memorySwappiness < -1 {
		return nil, bad("memory-swappiness", strconv.FormatInt(l.memorySwappiness, 10), "not between 0 and 100")
	}
	if l.memorySwappiness >= 0 && l.fresh() {
		n := uint64(l.memorySwappiness)
		m.Swappiness = &n
	}
	if l.oomKillDisable {
		m.DisableOOMKiller = &l.oomKillDisable
	}
	if m == (specs.LinuxMemory{}) {
		return nil, nil
	}
	return &m, nil
}

// swap is the limit of memory and swap together, beside a limit of memory. Not given
// (Docker: or 0) it is twice the memory: without it a limit would only move pages to
// swap.
func (l *Limits) swap(limit int64) (*int64, error) {
	swap, err := size("memory-swap", l.memorySwap, true)
	if err != nil {
		return nil, err
	}
	n := number(swap)
	switch {
	case n > 0 && limit == 0 && l.fresh():
		return nil, clash("memory-swap", "needs --memory too")
	case n > 0 && n < limit:
		return nil, bad("memory-swap", l.memorySwap, "is less than --memory; it counts memory and swap together")
	case n != 0:
		return swap, nil
	case limit == 0:
		return nil, nil
	}
	twice := limit
	if twice <= math.MaxInt64/2 {
		twice *= 2
	}
	return &twice, nil
}

// number is 0 for what was not given.
func number(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// fresh tells a new container from an update.
func (l *Limits) fresh() bool { return l.set.Lookup("memory-swappiness") != nil }

// cpuPeriod is the period --cpus counts in, the kernel's and Docker's default.
const cpuPeriod = 100000

func (l *Limits) cpu() (*specs.LinuxCPU, error) {
	c := specs.LinuxCPU{Cpus: l.cpusetCPUs, Mems: l.cpusetMems}
	for flag, list := range map[string]string{"cpuset-cpus": l.cpusetCPUs, "cpuset-mems": l.cpusetMems} {
		if strings.Trim(list, "0123456789,-") != "" {
			return nil, bad(flag, list, "not a list like 0-3 or 0,2")
		}
	}
	if l.cpuPeriod < 0 || l.cpuShares < 0 {
		return nil, clash("cpu-period", "and --cpu-shares cannot be negative")
	}
	if l.cpus != "" {
		if l.cpuPeriod != 0 || l.cpuQuota != 0 {
			return nil, clash("cpus", "conflicts with --cpu-period and --cpu-quota")
		}
		quota, err := cpuQuota(l.cpus)
		if err != nil {
			return nil, err
		}
		c.Period, c.Quota = given[uint64](cpuPeriod), quota
	} else {
		c.Period, c.Quota = given(uint64(l.cpuPeriod)), given(l.cpuQuota)
	}
	c.Shares = given(uint64(l.cpuShares))
	if c.Quota == nil && l.cpus != "" {
		c.Period = nil
	}
	if c == (specs.LinuxCPU{}) {
		return nil, nil
	}
	return &c, nil
}

// given is nil for 0, Docker's "not given".
func given[N int64 | uint64](n N) *N {
	if n == 0 {
		return nil
	}
	return &n
}

// cpuQuota turns a number of CPUs into microseconds per cpuPeriod; nil for 0.
func cpuQuota(cpus string) (*int64, error) {
	n, ok := new(big.Rat).SetString(cpus)
	if !ok || n.Sign() < 0 {
		return nil, bad("cpus", cpus, "not a number of CPUs")
	}
	us, _ := n.Mul(n, big.NewRat(cpuPeriod, 1)).Float64()
	switch {
	case us > math.MaxInt32*100:
		return nil, bad("cpus", cpus, "too many CPUs")
	case us > 0 && us < 1000:
		return nil, bad("cpus", cpus, "less than 0.01, the kernel's minimum")
	}
	return given(int64(us)), nil
}

func (l *Limits) blockIO(h Host) (*specs.LinuxBlockIO, error) {
	var b specs.LinuxBlockIO
	any := false
	if l.blkioWeight != 0 {
		if err := checkWeight("blkio-weight", uint64(l.blkioWeight)); err != nil {
			return nil, err
		}
		b.Weight, any = &l.blkioWeight, true
	}
	for _, s := range l.blkioWeightDevice {
		d, n, err := device("blkio-weight-device", s, h, count)
		if err == nil {
			err = checkWeight("blkio-weight-device", n)
		}
		if err != nil {
			return nil, err
		}
		w := uint16(n)
		b.WeightDevice = append(b.WeightDevice, specs.LinuxWeightDevice{LinuxBlockIODevice: d, Weight: &w})
		any = true
	}
	for _, t := range []struct {
		flag  string
		words []string
		to    *[]specs.LinuxThrottleDevice
		read  func(string) (uint64, bool)
	}{
		{"device-read-bps", l.readBps, &b.ThrottleReadBpsDevice, rate},
		{"device-write-bps", l.writeBps, &b.ThrottleWriteBpsDevice, rate},
		{"device-read-iops", l.readIOPS, &b.ThrottleReadIOPSDevice, count},
		{"device-write-iops", l.writeIOPS, &b.ThrottleWriteIOPSDevice, count},
	} {
		for _, s := range t.words {
			d, n, err := device(t.flag, s, h, t.read)
			if err != nil {
				return nil, err
			}
			*t.to = append(*t.to, specs.LinuxThrottleDevice{LinuxBlockIODevice: d, Rate: n})
			any = true
		}
	}
	if !any {
		return nil, nil
	}
	return &b, nil
}

func checkWeight(flag string, n uint64) error {
	if n < 10 || n > 1000 {
		return bad(flag, strconv.FormatUint(n, 10), "not between 10 and 1000")
	}
	return nil
}

func rate(s string) (uint64, bool) {
	n, err := units.RAMInBytes(s)
	return uint64(n), err == nil && n >= 0
}

func count(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// device reads DEVICE:NUMBER.
func device(flag, s string, h Host, read func(string) (uint64, bool)) (specs.LinuxBlockIODevice, uint64, error) {
	var d specs.LinuxBlockIODevice
	path, number, ok := strings.Cut(s, ":")
	if !ok || !strings.HasPrefix(path, "/dev/") {
		return d, 0, bad(flag, s, "not /dev/NAME:NUMBER")
	}
	n, ok := read(number)
	if !ok {
		return d, 0, bad(flag, s, number+" is not a number")
	}
	var err error
	if d.Major, d.Minor, err = h.Device(path); err != nil {
		return d, 0, bad(flag, s, err.Error())
	}
	return d, n, nil
}
