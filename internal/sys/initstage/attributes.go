package initstage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/sys/spawn"
)

// attributes sets what the kernel keeps with a process besides its identity.
func attributes(b *spawn.Builder, p *specs.Process, l *specs.Linux) error {
	if err := scheduler(b, p.Scheduler); err != nil {
		return err
	}
	if err := ioPriority(b, p.IOPriority); err != nil {
		return err
	}
	if l == nil {
		return nil
	}
	if err := personality(b, l.Personality); err != nil {
		return err
	}
	return memoryPolicy(b, l.MemoryPolicy)
}

// scheduler is sched_setattr(2).
func scheduler(b *spawn.Builder, s *specs.Scheduler) error {
	if s == nil {
		return nil
	}
	policy := slices.Index([]specs.LinuxSchedulerPolicy{
		specs.SchedOther, specs.SchedFIFO, specs.SchedRR, specs.SchedBatch, specs.SchedISO, specs.SchedIdle, specs.SchedDeadline,
	}, s.Policy)
	if policy < 0 {
		return fault.New(fault.Invalid, fmt.Sprintf("process.scheduler.policy: %.40q is unknown", s.Policy))
	}
	known := []specs.LinuxSchedulerFlag{
		specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun, specs.SchedFlagKeepPolicy,
		specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax,
	}
	var flags uint64
	for _, f := range s.Flags {
		n := slices.Index(known, f)
		if n < 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("process.scheduler.flags: %.40q is unknown", f))
		}
		flags |= 1 << n
	}
	attr := make([]byte, 48) // struct sched_attr, version 0
	putU32(attr, 48)
	putU32(attr[4:], uint32(policy))
	putU64(attr[8:], flags)
	putU32(attr[16:], uint32(s.Nice))
	putU32(attr[20:], uint32(s.Priority))
	putU64(attr[24:], s.Runtime)
	putU64(attr[32:], s.Deadline)
	putU64(attr[40:], s.Period)
	b.Step("process.scheduler")
	b.Call(unix.SYS_SCHED_SETATTR, spawn.Imm(0), b.Bytes(attr), spawn.Imm(0))
	return nil
}

// ioPriority is ioprio_set(2).
func ioPriority(b *spawn.Builder, p *specs.LinuxIOPriority) error {
	if p == nil {
		return nil
	}
	class := 1 + slices.Index([]specs.IOPriorityClass{specs.IOPRIO_CLASS_RT, specs.IOPRIO_CLASS_BE, specs.IOPRIO_CLASS_IDLE}, p.Class)
	if class == 0 || p.Priority < 0 || p.Priority > 7 {
		return fault.New(fault.Invalid, fmt.Sprintf("process.ioPriority: %.40q with priority %d", p.Class, p.Priority))
	}
	const whoProcess, classShift = 1, 13
	b.Step("process.ioPriority")
	b.Call(unix.SYS_IOPRIO_SET, spawn.Imm(whoProcess), spawn.Imm(0), spawn.Imm(class<<classShift|p.Priority))
	return nil
}

func personality(b *spawn.Builder, p *specs.LinuxPersonality) error {
	if p == nil {
		return nil
	}
	domain := map[specs.LinuxPersonalityDomain]int{specs.PerLinux: 0, specs.PerLinux32: 8}
	d, ok := domain[p.Domain]
	if !ok {
		return fault.New(fault.Invalid, fmt.Sprintf("linux.personality.domain: %.40q is unknown", p.Domain))
	}
	b.Step("linux.personality")
	b.Call(unix.SYS_PERSONALITY, spawn.Imm(d))
	return nil
}

// MemoryModes lists the modes of a memory policy, by their numbers.
func MemoryModes() []string {
	return []string{
		string(specs.MpolDefault), string(specs.MpolPreferred), string(specs.MpolBind), string(specs.MpolInterleave),
		string(specs.MpolLocal), string(specs.MpolPreferredMany), string(specs.MpolWeightedInterleave),
	}
}

// MemoryFlags lists the flags of a memory policy, by their bits from 13 on.
func MemoryFlags() []string {
	return []string{string(specs.MpolFNumaBalancing), string(specs.MpolFRelativeNodes), string(specs.MpolFStaticNodes)}
}

// memoryPolicy is set_mempolicy(2).
func memoryPolicy(b *spawn.Builder, m *specs.LinuxMemoryPolicy) error {
	if m == nil {
		return nil
	}
	mode := slices.Index(MemoryModes(), string(m.Mode))
	if mode < 0 {
		return fault.New(fault.Invalid, fmt.Sprintf("linux.memoryPolicy.mode: %.40q is unknown", m.Mode))
	}
	for _, f := range m.Flags {
		n := slices.Index(MemoryFlags(), string(f))
		if n < 0 {
			return fault.New(fault.Invalid, fmt.Sprintf("linux.memoryPolicy.flags: %.40q is unknown", f))
		}
		mode |= 1 << 13 << n
	}
	mask, err := bitmask("linux.memoryPolicy.nodes", m.Nodes, 1024)
	if err != nil {
		return err
	}
	b.Step("linux.memoryPolicy")
	if len(m.Nodes) == 0 {
		b.Call(unix.SYS_SET_MEMPOLICY, spawn.Imm(mode), spawn.Imm(0), spawn.Imm(0))
		return nil
	}
	b.Call(unix.SYS_SET_MEMPOLICY, spawn.Imm(mode), b.Bytes(mask), spawn.Imm(8*len(mask)+1))
	return nil
}

// allProcessors undoes that whoever called the runtime was pinned to some processors: the
// cpuset alone says where a container runs.
func allProcessors(b *spawn.Builder) {
	mask := make([]byte, 1024)
	for i := range mask {
		mask[i] = 0xff
	}
	b.Step("processors")
	b.Call(unix.SYS_SCHED_SETAFFINITY, spawn.Imm(0), spawn.Imm(len(mask)), b.Bytes(mask)).AllowAny()
}

// affinity is sched_setaffinity(2) of a list of processors.
func affinity(b *spawn.Builder, field, list string) error {
	if list == "" {
		return nil
	}
	mask, err := bitmask(field, list, 8192)
	if err != nil {
		return err
	}
	b.Step(field)
	b.Call(unix.SYS_SCHED_SETAFFINITY, spawn.Imm(0), spawn.Imm(len(mask)), b.Bytes(mask))
	return nil
}

// bitmask reads a list like 0-3,6 of numbers below limit.
func bitmask(field, list string, limit int) ([]byte, error) {
	mask := make([]byte, limit/8)
	bad := fault.New(fault.Invalid, fmt.Sprintf("%s: %.80q is not a list like 0-3,6", field, list))
	if len(list) > 4096 {
		return nil, bad
	}
	for part := range strings.SplitSeq(list, ",") {
		if part == "" {
			continue
		}
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 0 || to < from || to >= limit {
			return nil, bad
		}
		for n := from; n <= to; n++ {
			mask[n/8] |= 1 << (n % 8) // little-endian words, as on every architecture here
		}
	}
	return mask, nil
}
