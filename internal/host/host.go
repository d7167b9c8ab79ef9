// Package host reads facts about this machine, once, into a value that decisions
// are made from. It only reads files: what needs a system call to be found out
// (an overlay mount by fd, a mount flag) is probed by who uses it. A fact whose
// file is absent has its zero value; a file that says nonsense is an error.
package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Facts is what the machine was when the daemon started. It does not change.
type Facts struct {
	Kernel        Version
	KernelRelease string // as uname -r
	BootID        string
	CgroupMode    string // "none", "v1", "hybrid" or "v2"
	Systemd       bool   // runs as PID 1 (sd_booted(3))

	Capabilities   CapSet // effective, of this process
	InitialUserNS  bool   // this process is in the initial user namespace
	UserNamespaces bool   // new ones can be made
	OOMScoreAdjMin int    // the lowest value this process may set
	MaxOpenFiles   uint64 // this process's hard limit

	SeccompActions []string // empty: no seccomp filters
	AppArmor       bool     // enabled
	DefaultProfile bool     // AppArmor's for containers that ask for none is loaded; whoever loads it says so
	SELinux        bool     // enabled, with a policy
	SELinuxProcess string   // the policy's label for processes of containers, "" for none; whoever reads the policy says so
	SELinuxFile    string   // the same for their files
	Filesystems    []string // known to the kernel now; modules may add to it

	CPUs           int   // online
	Memory, Swap   int64 // bytes
	SwapAccounting bool  // cgroups can limit swap
	HugePageSizes  []string
}

// Seccomp reports whether filters can be loaded.
func (f Facts) Seccomp() bool { return len(f.SeccompActions) > 0 }

// ClampOOMScoreAdj returns the nearest oom_score_adj to want that this process may
// set: without CAP_SYS_RESOURCE nothing below its own (a kubelet asks for -997).
func (f Facts) ClampOOMScoreAdj(want int) int { return min(max(want, f.OOMScoreAdjMin), 1000) }

// CapSet is a set of capabilities, bit n is capability n.
type CapSet uint64

// The capabilities that decide what the daemon can do for its pods.
const (
	CapNetAdmin    = 12
	CapSysAdmin    = 21
	CapSysResource = 24
)

// Has reports whether the set holds capability n.
func (s CapSet) Has(n int) bool { return n >= 0 && n < 64 && s&(1<<n) != 0 }

// Version is a kernel's "6.18"; Patch levels and suffixes are not compared.
type Version struct{ Major, Minor int }

// AtLeast reports whether v is major.minor or younger. It is for texts: whether
// a feature is there is probed, since distributions backport.
func (v Version) AtLeast(major, minor int) bool {
	return v.Major > major || (v.Major == major && v.Minor >= minor)
}

// String returns "6.18".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Read reads the facts of this machine.
func Read() (Facts, error) { return read(os.DirFS("/")) }

func read(root fs.FS) (Facts, error) {
	var f Facts
	r := reader{root: root}
	f.KernelRelease = r.line("proc/sys/kernel/osrelease")
	r.parse("proc/sys/kernel/osrelease", func(in io.Reader) (err error) { f.Kernel, err = ParseVersion(in); return err })
	f.BootID = r.line("proc/sys/kernel/random/boot_id")
	r.parse("proc/self/mountinfo", func(in io.Reader) (err error) { f.CgroupMode, err = parseCgroupMode(in); return err })
	f.Systemd = r.exists("run/systemd/system")
	var status processStatus
	r.parse("proc/self/status", func(in io.Reader) (err error) { status, err = parseStatus(in); return err })
	f.Capabilities = status.effective
	f.InitialUserNS = strings.Join(strings.Fields(r.line("proc/self/uid_map")), " ") == "0 0 4294967295"
	f.UserNamespaces = r.number("proc/sys/user/max_user_namespaces") > 0
	f.OOMScoreAdjMin = -1000
	if !f.Capabilities.Has(CapSysResource) || !f.InitialUserNS {
		f.OOMScoreAdjMin = int(r.number("proc/self/oom_score_adj"))
	}
	r.parse("proc/self/limits", func(in io.Reader) (err error) { f.MaxOpenFiles, err = parseMaxOpenFiles(in); return err })
	if status.seccomp {
		f.SeccompActions = strings.Fields(r.line("proc/sys/kernel/seccomp/actions_avail"))
	}
	f.AppArmor = r.line("sys/module/apparmor/parameters/enabled") == "Y"
	f.SELinux = r.line("sys/fs/selinux/enforce") != "" && strings.Trim(r.line("proc/self/attr/current"), "\x00") != "kernel"
	r.parse("proc/filesystems", func(in io.Reader) (err error) { f.Filesystems, err = parseFilesystems(in); return err })
	r.parse("sys/devices/system/cpu/online", func(in io.Reader) (err error) { f.CPUs, err = ParseCPUList(in); return err })
	r.parse("proc/meminfo", func(in io.Reader) (err error) { f.Memory, f.Swap, err = parseMeminfo(in); return err })
	f.SwapAccounting = r.swapAccounting(f.CgroupMode)
	f.HugePageSizes = r.hugePages()
	if r.err != nil {
		return Facts{}, fmt.Errorf("host facts: %w", r.err)
	}
	return f, nil
}

// reader reads files and keeps the first failure; an absent file is none.
type reader struct {
	root fs.FS
	err  error
}

func (r *reader) parse(name string, f func(io.Reader) error) {
	if r.err != nil {
		return
	}
	in, err := r.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.err = err
		return
	}
	defer in.Close()
	if err := f(in); err != nil {
		r.err = fmt.Errorf("/%s: %w", name, err)
	}
}

// line returns a file's first line.
func (r *reader) line(name string) (s string) {
	r.parse(name, func(in io.Reader) error {
		b, err := io.ReadAll(io.LimitReader(in, 4096))
		s, _, _ = strings.Cut(string(b), "\n")
		s = strings.TrimSpace(s)
		return err
	})
	return s
}

// exists reports whether there is something of that name.
func (r *reader) exists(name string) bool {
	_, err := fs.Stat(r.root, name)
	return err == nil
}

func (r *reader) number(name string) (n int64) {
	r.parse(name, func(in io.Reader) (err error) { n, err = parseInt(in); return err })
	return n
}

// swapAccounting: cgroup v1 shows it by a file; cgroup v2 has it with CONFIG_SWAP
// unless the boot loader said swapaccount=0, which kernels before 6.1 obey.
func (r *reader) swapAccounting(mode string) bool {
	if mode != "v2" {
		return r.line("sys/fs/cgroup/memory/memory.memsw.limit_in_bytes") != ""
	}
	return r.line("proc/swaps") != "" && !slices.Contains(strings.Fields(r.line("proc/cmdline")), "swapaccount=0")
}

// hugePages returns the sizes as cgroup files and OCI name them: 2MB, 1GB.
func (r *reader) hugePages() []string {
	entries, err := fs.ReadDir(r.root, "sys/kernel/mm/hugepages")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && r.err == nil {
		r.err = err
	}
	var sizes []int64
	for _, e := range entries {
		if kb, ok := hugePageKB(e.Name()); ok {
			sizes = append(sizes, kb)
		}
	}
	slices.Sort(sizes)
	var out []string
	for _, kb := range sizes {
		out = append(out, sizeName(kb))
	}
	return out
}
