package initstage

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/sys/spawn"
)

func putU64(b []byte, v uint64) { binary.NativeEndian.PutUint64(b, v) }
func putU32(b []byte, v uint32) { binary.NativeEndian.PutUint32(b, v) }

// Seccomp is a compiled filter: an array of struct sock_filter and the flags for
// seccomp(2).
type Seccomp struct {
	Filter []byte
	Flags  uint
}

// identity gives up what the process is not to have. Without no_new_privs the
// filter must be loaded while CAP_SYS_ADMIN is still there; with it execute loads
// the filter, so that it need not allow what comes before.
func (e *ending) identity(b *spawn.Builder) error {
	p := e.p
	caps, err := capabilities(p.Capabilities)
	if err != nil {
		return err
	}
	if none := uint32(math.MaxUint32); p.User.UID == none || p.User.GID == none { // setresuid(2) would leave root's
		return fault.New(fault.Invalid, "user "+strconv.FormatUint(math.MaxUint32, 10)+": is no id")
	}
	b.Step("rlimits")
	if err := rlimits(b, p.Rlimits); err != nil {
		return err
	}
	if p.NoNewPrivileges {
		b.Step("no_new_privs")
		b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_NO_NEW_PRIVS), spawn.Imm(1), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	} else {
		seccomp(b, e.seccomp)
	}
	b.Step("capabilities: bounding set")
	for c := range e.lastCap + 1 {
		if caps.bounding&(1<<c) == 0 {
			b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_CAPBSET_DROP), spawn.Imm(c))
		}
	}
	ids(b, p.User, e.alone != nil && e.alone.Rootless)
	b.Step("capabilities")
	capset(b, caps.effective, caps.permitted, caps.inheritable)
	// The kernel takes no other as ambient; runc's own default configuration names some, and
	// runc leaves them out.
	ambient(b, caps.ambient&caps.permitted&caps.inheritable)
	return nil
}

// ids changes users and groups. Where a user namespace denies setgroups, as one does that a
// user has mapped alone, the groups stay that nobody there can give up.
func ids(b *spawn.Builder, u specs.User, rootless bool) {
	b.Step(StepUser)
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_KEEPCAPS), spawn.Imm(1), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	if u.Umask != nil {
		b.Call(unix.SYS_UMASK, spawn.Imm(*u.Umask))
	}
	groups := make([]byte, 4*len(u.AdditionalGids))
	for i, g := range u.AdditionalGids {
		putU32(groups[4*i:], g)
	}
	if set := b.Call(unix.SYS_SETGROUPS, spawn.Imm(len(u.AdditionalGids)), b.Bytes(groups)); rootless && len(groups) == 0 {
		set.Allow(uintptr(unix.EPERM))
	}
	b.Call(unix.SYS_SETRESGID, spawn.Imm(u.GID), spawn.Imm(u.GID), spawn.Imm(u.GID))
	b.Call(unix.SYS_SETRESUID, spawn.Imm(u.UID), spawn.Imm(u.UID), spawn.Imm(u.UID))
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_KEEPCAPS), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
}

type capSets struct{ effective, permitted, inheritable, bounding, ambient uint64 }

func capabilities(c *specs.LinuxCapabilities) (s capSets, err error) {
	if c == nil {
		return s, nil
	}
	for _, set := range []struct {
		names []string
		bits  *uint64
	}{
		{c.Effective, &s.effective}, {c.Permitted, &s.permitted}, {c.Inheritable, &s.inheritable},
		{c.Bounding, &s.bounding}, {c.Ambient, &s.ambient},
	} {
		for _, name := range set.names {
			n := slices.Index(capNames(), strings.TrimPrefix(name, "CAP_"))
			if n < 0 {
				return s, fault.New(fault.Invalid, "capability "+name+": unknown")
			}
			*set.bits |= 1 << n
		}
	}
	return s, nil
}

// capNames are the capabilities in the order of their numbers (linux/capability.h).
func capNames() []string {
	return []string{
		"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
		"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
		"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
		"SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
		"MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
		"CHECKPOINT_RESTORE",
	}
}

// Capabilities lists the names of all that are known, without CAP_, by their numbers.
func Capabilities() []string { return capNames() }

func capset(b *spawn.Builder, effective, permitted, inheritable uint64) {
	head := make([]byte, 8) // version 3, this process
	putU32(head, unix.LINUX_CAPABILITY_VERSION_3)
	data := make([]byte, 24)
	for i := range 2 {
		putU32(data[12*i:], uint32(effective>>(32*i)))
		putU32(data[12*i+4:], uint32(permitted>>(32*i)))
		putU32(data[12*i+8:], uint32(inheritable>>(32*i)))
	}
	b.Call(unix.SYS_CAPSET, b.Bytes(head), b.Bytes(data))
}

func ambient(b *spawn.Builder, set uint64) {
	prctl := func(op, c int) {
		b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_CAP_AMBIENT), spawn.Imm(op), spawn.Imm(c), spawn.Imm(0), spawn.Imm(0))
	}
	prctl(unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	for c := range len(capNames()) {
		if set&(1<<c) != 0 {
			prctl(unix.PR_CAP_AMBIENT_RAISE, c)
		}
	}
}

func seccomp(b *spawn.Builder, s Seccomp) {
	if len(s.Filter) == 0 {
		return
	}
	b.Step("seccomp")
	load(b, s)
}

func load(b *spawn.Builder, s Seccomp) spawn.Ref {
	prog := b.Words(spawn.Imm(len(s.Filter)/8), b.Bytes(s.Filter)) // struct sock_fprog
	return b.Call(unix.SYS_SECCOMP, spawn.Imm(unix.SECCOMP_SET_MODE_FILTER), spawn.Imm(s.Flags), prog)
}

// rlimitNames maps RLIMIT_ names to numbers.
func rlimitNames() map[string]int {
	return map[string]int{
		"CPU": unix.RLIMIT_CPU, "FSIZE": unix.RLIMIT_FSIZE, "DATA": unix.RLIMIT_DATA, "STACK": unix.RLIMIT_STACK,
		"CORE": unix.RLIMIT_CORE, "RSS": unix.RLIMIT_RSS, "NPROC": unix.RLIMIT_NPROC, "NOFILE": unix.RLIMIT_NOFILE,
		"MEMLOCK": unix.RLIMIT_MEMLOCK, "AS": unix.RLIMIT_AS, "LOCKS": unix.RLIMIT_LOCKS,
		"SIGPENDING": unix.RLIMIT_SIGPENDING, "MSGQUEUE": unix.RLIMIT_MSGQUEUE, "NICE": unix.RLIMIT_NICE,
		"RTPRIO": unix.RLIMIT_RTPRIO, "RTTIME": unix.RLIMIT_RTTIME,
	}
}

func rlimits(b *spawn.Builder, limits []specs.POSIXRlimit) error {
	for _, l := range limits {
		n, ok := rlimitNames()[strings.TrimPrefix(l.Type, "RLIMIT_")]
		if !ok {
			return fault.New(fault.Invalid, "rlimit "+l.Type+": unknown")
		}
		b.Step("rlimit " + l.Type)
		v := make([]byte, 16)
		putU64(v, l.Soft)
		putU64(v[8:], l.Hard)
		b.Call(unix.SYS_PRLIMIT64, spawn.Imm(0), spawn.Imm(n), b.Bytes(v), spawn.Imm(0))
	}
	return nil
}
