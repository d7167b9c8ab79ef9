package oci

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// field is one field of the configuration with what a container then sees.
type field struct {
	name   string
	set    func(b *box)
	script string
	want   string // a regular expression
}

func observe(t *testing.T, fields []field) {
	for _, f := range fields {
		t.Run(f.name, func(t *testing.T) {
			b := newBox(t)
			f.set(b)
			if got := b.run(f.script); !regexp.MustCompile(f.want).MatchString(got) {
				t.Errorf("%s gives %q, want %s", f.script, got, f.want)
			}
		})
	}
}

func TestProcess(t *testing.T) {
	sets := func(c specs.LinuxCapabilities) func(*box) {
		return func(b *box) {
			b.spec.Process.Capabilities = &c
			b.spec.Process.User = specs.User{UID: 7}
		}
	}
	observe(t, []field{
		{"env and cwd", func(b *box) {
			b.spec.Process.Env = append(b.spec.Process.Env, "FOO=a b")
			b.spec.Process.Cwd = "/new/dir"
		}, `echo "$FOO $PWD"; readlink /proc/self/cwd`, `^a b /new/dir\n/new/dir$`},
		{"user", func(b *box) { b.spec.Process.User = specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{7, 8}} },
			`grep -E "^(Uid|Gid|Groups):" /proc/self/status`, `Uid:\t5\t5\t5\t5\nGid:\t6\t6\t6\t6\nGroups:\t7 8`},
		{"umask", func(b *box) { b.spec.Process.User.Umask = pointer(uint32(0o027)) }, `grep Umask /proc/self/status`, `0027`},
		{"rlimits", func(b *box) {
			b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 33, Hard: 44}, {Type: "RLIMIT_STACK", Soft: 1 << 20, Hard: 1 << 21}}
		}, `grep -E "open files|stack" /proc/self/limits`, `stack size +1048576 +2097152 .*\nMax open files +\d+ +44`}, // Go raises its soft one
		{"no new privileges", func(b *box) { b.spec.Process.NoNewPrivileges = true }, `grep NoNewPrivs /proc/self/status`, `1`},
		{"new privileges", func(b *box) { b.spec.Process.NoNewPrivileges = false }, `grep NoNewPrivs /proc/self/status`, `0`},
		{"oom score", func(b *box) { b.spec.Process.OOMScoreAdj = pointer(321) }, `cat /proc/self/oom_score_adj`, `^321$`},
		{"bounding set", sets(specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}}), `grep Cap /proc/self/status`,
			`CapInh:\t0+\nCapPrm:\t0+\nCapEff:\t0+\nCapBnd:\t0+20\nCapAmb:\t0+`},
		{"ambient set", sets(specs.LinuxCapabilities{
			Bounding: []string{"CAP_KILL", "CAP_CHOWN"}, Permitted: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"},
			Inheritable: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"},
		}), `grep Cap /proc/self/status`, `CapInh:\t0+20\nCapPrm:\t0+20\nCapEff:\t0+20\nCapBnd:\t0+21\nCapAmb:\t0+20`},
		{"unknown capability, which is a warning", func(b *box) {
			b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL", "CAP_NEW"}}
		}, `grep CapBnd /proc/self/status`, `(?s)level=warning .*CAP_NEW.*CapBnd:\t0+20`},
		{"scheduler", func(b *box) { b.spec.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 5} },
			`cat /proc/self/stat`, `^\d+ \(.*\) \S( -?\d+){15} 5( -?\d+){21} 3 `},
		{"personality", func(b *box) { b.spec.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32} },
			`cat /proc/self/personality`, `^0*8$`},
		{"memory policy", func(b *box) {
			b.spec.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}}
		}, `head -n 1 /proc/self/numa_maps`, `bind=static:0`},
		{"command from PATH", func(b *box) { b.spec.Process.Env = []string{"PATH=/nowhere:/bin"} }, `readlink /proc/self/exe`, `^/bin/toolbox$`},
	})
}

func TestWorld(t *testing.T) {
	observe(t, []field{
		{"read-only root", func(b *box) { b.spec.Root.Readonly = true }, `touch /x 2>&1 || echo refused`, `refused$`},
		{"hostname and domainname", func(b *box) { b.spec.Hostname, b.spec.Domainname = "box", "example.org" },
			`hostname; cat /proc/sys/kernel/domainname`, `^box\nexample.org$`},
		{"namespaces", func(*box) {}, `for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done`, `^(\w+:\[\d+\]\s?){6}$`},
		{"time offsets", func(b *box) {
			b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
			b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1 << 30}, "monotonic": {Secs: 5, Nanosecs: 7}}
		}, `cat /proc/uptime /proc/self/timens_offsets`, `^10737\d{5}\.[\s\S]*monotonic +5 +7`},
		{"masked paths", func(b *box) { b.spec.Linux.MaskedPaths = []string{"/proc/uptime", "/proc/sys"} },
			`cat /proc/uptime; ls /proc/sys; echo end`, `^end$`},
		{"read-only paths", func(b *box) { b.spec.Linux.ReadonlyPaths = []string{"/proc/sys", "/tmp"} },
			`touch /tmp/x 2>&1 || echo refused; touch /bin/y && echo allowed`, `refused\nallowed$`},
		{"sysctl", func(b *box) {
			b.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "77", "kernel.shm_rmid_forced": "1"}
		}, `cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced`, `^77\n1$`},
		{"default devices", func(*box) {}, `cd /dev; ls -l null zero full random urandom tty; readlink fd stdin ptmx`,
			`(?s)1,\s+7.*1,\s+3.*1,\s+8.*5,\s+0.*1,\s+9.*1,\s+5.*/proc/self/fd\n/proc/self/fd/0\npts/ptmx$`},
		{"devices", func(b *box) {
			mode := os.FileMode(0o640)
			b.spec.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/one", Type: "c", Major: 1, Minor: 5, FileMode: &mode, UID: pointer(uint32(3)), GID: pointer(uint32(4))},
				{Path: "/dev/sub/pipe", Type: "p"}, {Path: "/run/outside", Type: "c", Major: 1, Minor: 3},
			}
		}, `stat -c "%A %u %g" /dev/one; stat -c %A /dev/sub/pipe; echo x > /run/outside && echo written`, `^crw-r----- 3 4\nprw-rw-rw-\nwritten$`},
		{"device rules", func(b *box) {
			b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg2", Type: "c", Major: 1, Minor: 11}}
		}, `head -c 1 /dev/kmsg2 2>&1 || echo refused; head -c 1 /dev/zero >/dev/null && echo zero`, `refused\nzero$`},
		{"no /dev among the mounts", func(b *box) {
			b.spec.Mounts = []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}}
		}, `echo x > /dev/null && ls -l /dev/null && readlink /dev/stdout`, `1,\s+3.*\n/proc/self/fd/1$`},
		{"seccomp", func(b *box) {
			b.spec.Linux.Seccomp = &specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
				Flags:    []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow},
				Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdirat", "mkdir"}, Action: specs.ActErrno, ErrnoRet: pointer(uint(95))}},
			}
		}, `mkdir /x 2>&1 || grep Seccomp: /proc/self/status`, `Operation not supported\nSeccomp:\t2$`},
	})
}

// TestRefused: what cannot be honoured is an error that names the field, and nothing has
// been made.
func TestRefused(t *testing.T) {
	for _, f := range []struct {
		name string
		set  func(s *specs.Spec)
	}{
		{"ociVersion", func(s *specs.Spec) { s.Version = "2.0" }},
		{"process.args", func(s *specs.Spec) { s.Process.Args = nil }},
		{"process.cwd", func(s *specs.Spec) { s.Process.Cwd = "relative" }},
		{"process.selinuxLabel", func(s *specs.Spec) { s.Process.SelinuxLabel = "a:b:c" }},
		{"process.rlimits[1]", func(s *specs.Spec) {
			s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_CORE"}}
		}},
		{"process.scheduler.policy", func(s *specs.Spec) { s.Process.Scheduler = &specs.Scheduler{Policy: "SCHED_NEW"} }},
		{"process.ioPriority", func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: "IOPRIO_CLASS_BE", Priority: 9}
		}},
		{"hostname", func(s *specs.Spec) { s.Linux.Namespaces = without(s.Linux.Namespaces, "uts") }},
		{"linux.namespaces", func(s *specs.Spec) { s.Linux.Namespaces = without(s.Linux.Namespaces, "mount") }},
		{"linux.namespaces[6]", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "pid"})
		}},
		{"linux.uidMappings", func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} }},
		{"linux.timeOffsets", func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} }},
		{"linux.sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.core_pattern": "|/bin/x"} }},
		{"linux.rootfsPropagation", func(s *specs.Spec) { s.Linux.RootfsPropagation = "new" }},
		{"linux.mountLabel", func(s *specs.Spec) { s.Linux.MountLabel = "a:b:c" }},
		{"linux.intelRdt", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} }},
		{"linux.personality", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "BSD"} }},
		{"linux.memoryPolicy", func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "MPOL_NEW"} }},
		{"linux.cgroupsPath", func(s *specs.Spec) { s.Linux.CgroupsPath = "user.slice:a:b" }},
		{"linux.seccomp.listenerPath", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActNotify}}}
		}},
		{"seccomp profile", func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_NEW"} }},
		{"hooks.createRuntime[0]", func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "relative"}}} }},
		{"memory.limit", func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: pointer(int64(-5))} }},
		{"mounts[7]", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/proc/self/attr", Type: "tmpfs", Source: "tmpfs"})
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			b := newBox(t)
			b.sh("echo ran")
			f.set(b.spec)
			b.write()
			out, err := b.try("run", b.id)
			if err == nil || !strings.Contains(out, f.name) || strings.Contains(out, "ran") {
				t.Errorf("got %v: %s", err, out)
			}
		})
	}
}

func without(all []specs.LinuxNamespace, kind specs.LinuxNamespaceType) (out []specs.LinuxNamespace) {
	for _, n := range all {
		if n.Type != kind {
			out = append(out, n)
		}
	}
	return out
}

// TestNamespacesAreNew: none of a container's namespaces is the host's.
func TestNamespacesAreNew(t *testing.T) {
	b := newBox(t)
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
	b.start()
	for _, kind := range []string{"pid", "net", "ipc", "uts", "mnt", "cgroup", "time"} {
		host, err := os.Readlink("/proc/self/ns/" + kind)
		b.must(err)
		inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", b.state().Pid, kind))
		b.must(err)
		if inside == host {
			t.Errorf("%s is the host's", kind)
		}
	}
}

// TestNamespacesByPath: a container enters those of another, of every kind.
func TestNamespacesByPath(t *testing.T) {
	first := newBox(t)
	first.spec.Linux.Namespaces = append(first.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
	first.start()
	pid := first.state().Pid
	second := newBox(t)
	second.spec.Hostname = ""
	second.spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: "mount"}}
	for kind, name := range map[specs.LinuxNamespaceType]string{
		"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time",
	} {
		path := fmt.Sprintf("/proc/%d/ns/%s", pid, name)
		second.spec.Linux.Namespaces = append(second.spec.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
	second.start()
	for _, kind := range []string{"pid", "net", "ipc", "uts", "cgroup", "time"} {
		one, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		first.must(err)
		two, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", second.state().Pid, kind))
		first.must(err)
		if one != two {
			t.Errorf("%s: %s and %s", kind, one, two)
		}
	}
	second.call("delete", "--force", second.id)
	for name, c := range map[string]struct {
		kind specs.LinuxNamespaceType
		set  func(s *specs.Spec)
	}{
		"uts": {"uts", func(s *specs.Spec) { s.Hostname = "changed" }},
		"net": {"network", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.conf.lo.forwarding": "0"} }},
		"ipc": {"ipc", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.msgmax": "9000"} }},
	} {
		third := newBox(t)
		third.before = []string{"unshare", "--uts", "--net", "--ipc"} // which stand for the host's
		third.spec.Hostname = ""
		third.spec.Linux.Namespaces = append(without(third.spec.Linux.Namespaces, c.kind), specs.LinuxNamespace{Type: c.kind, Path: "/proc/self/ns/" + name})
		third.run("true")
		c.set(third.spec)
		third.write()
		out, err := third.try("run", third.id)
		if err == nil || !strings.Contains(out, "namespace of the host") {
			t.Errorf("the host's %s namespace by path: %v: %s", name, err, out)
		}
	}
	second.spec.Linux.Namespaces[1].Path = "/etc/hostname"
	second.write()
	if out, err := second.try("run", second.id); err == nil || !strings.Contains(out, "namespace /etc/hostname") {
		t.Errorf("a file that is no namespace: %v: %s", err, out)
	}
}
