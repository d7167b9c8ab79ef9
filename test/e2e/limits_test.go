package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// rootDisk returns the disk that / is on, as "259:0" and as "/dev/nvme0n1".
func (h *host) rootDisk() (number, path string) {
	h.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		h.Fatal(err)
	}
	number = fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	target, err := filepath.EvalSymlinks("/sys/dev/block/" + number)
	if err != nil {
		h.Fatalf("the disk of /: %v", err)
	}
	return number, "/dev/" + filepath.Base(target)
}

// TestLimitsInTheKernel gives one limit at a time and reads it from the kernel, whose
// words are those of cgroups(7) and of Documentation/admin-guide/cgroup-v2.rst.
func TestLimitsInTheKernel(t *testing.T) {
	h := start(t)
	number, disk := h.rootDisk()
	for _, x := range []struct {
		name, args   string
		controller   string
		v1, v2       string
		want1, want2 string
	}{
		{name: "memory", args: "--memory 64m", controller: "memory", v1: "memory.limit_in_bytes", v2: "memory.max", want1: "67108864", want2: "67108864"},
		// v1 limits memory and swap together, v2 swap alone.
		{name: "swap", args: "--memory 64m --memory-swap 96m", controller: "memory", v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max", want1: "100663296", want2: "33554432"},
		{name: "swap by default", args: "--memory 64m", controller: "memory", v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max", want1: "134217728", want2: "67108864"},
		{name: "reservation", args: "--memory-reservation 32m", controller: "memory", v1: "memory.soft_limit_in_bytes", v2: "memory.low", want1: "33554432", want2: "33554432"},
		// 1024 shares are weight 100, the default of both; 512 are 59 on the curve that OCI runtimes agreed on.
		{name: "shares", args: "--cpu-shares 1024", controller: "cpu", v1: "cpu.shares", v2: "cpu.weight", want1: "1024", want2: "100"},
		{name: "half the shares", args: "--cpu-shares 512", controller: "cpu", v1: "cpu.shares", v2: "cpu.weight", want1: "512", want2: "59"},
		{name: "cpus", args: "--cpus 0.25", controller: "cpu", v1: "cpu.cfs_quota_us", v2: "cpu.max", want1: "25000", want2: "25000 100000"},
		{name: "quota", args: "--cpu-quota 5000 --cpu-period 20000", controller: "cpu", v1: "cpu.cfs_quota_us", v2: "cpu.max", want1: "5000", want2: "5000 20000"},
		{name: "cpuset", args: "--cpuset-cpus 0", controller: "cpuset", v1: "cpuset.cpus", v2: "cpuset.cpus", want1: "0", want2: "0"},
		{name: "nodes", args: "--cpuset-mems 0", controller: "cpuset", v1: "cpuset.mems", v2: "cpuset.mems", want1: "0", want2: "0"},
		{name: "pids", args: "--pids-limit 77", controller: "pids", v1: "pids.max", v2: "pids.max", want1: "77", want2: "77"},
		{name: "reading", args: "--device-read-bps " + disk + ":1mb", controller: "blkio", v1: "blkio.throttle.read_bps_device", v2: "io.max", want1: number + " 1048576", want2: number + " rbps=1048576 wbps=max riops=max wiops=max"},
		{name: "writes", args: "--device-write-iops " + disk + ":20", controller: "blkio", v1: "blkio.throttle.write_iops_device", v2: "io.max", want1: number + " 20", want2: number + " rbps=max wbps=max riops=max wiops=20"},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			pid := h.pid(h.container("c", strings.Fields(x.args)...))
			want := x.want2
			if h.onV1(pid, x.controller) {
				want = x.want1
			}
			if got := h.cgroupFile(pid, x.controller, x.v1, x.v2); got != want {
				t.Errorf("%s: the kernel has %q, want %q", x.args, got, want)
			}
		})
	}
}

// onV1 reports whether a process's controller is in a v1 hierarchy.
func (h *host) onV1(pid int, controller string) bool {
	h.Helper()
	for l := range strings.Lines(readTrim(h, fmt.Sprintf("/proc/%d/cgroup", pid))) {
		if f := strings.SplitN(l, ":", 3); strings.Contains(","+f[1]+",", ","+controller+",") {
			return true
		}
	}
	return false
}

// TestLimitHolds fills what is limited, so that it is the kernel that says no.
func TestLimitHolds(t *testing.T) {
	h := start(t)
	c := h.container("pids", "--pids-limit", "20")
	h.ok("exec", "-d", c, "sh", "-c", "i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i+1)); done; wait")
	count := func() (n int) {
		_, _ = fmt.Sscan(h.cgroupFile(h.pid(c), "pids", "pids.current", "pids.current"), &n) // 0 is too few
		return n
	}
	h.eventually("the limit is reached", func() bool { return count() >= 18 })
	if n := count(); n > 20 {
		t.Errorf("%d processes and threads under a limit of 20", n)
	}
	c = h.container("memory", "--memory", "32m", "--memory-swap", "32m")
	if r := h.run("exec", c, "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=64 2>/dev/null"); r.code == 0 {
		t.Error("64 MiB of shared memory under a limit of 32")
	}
}

// node makes a device node in a container's root, as the container could make it with
// CAP_MKNOD, for a device of the host, and returns its path inside.
func (h *host) node(c, device string) string {
	h.Helper()
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		h.Fatalf("%s: %v", device, err)
	}
	path := "/node-" + filepath.Base(device)
	if err := unix.Mknod(fmt.Sprintf("/proc/%d/root%s", h.pid(c), path), unix.S_IFCHR|0o666, int(st.Rdev)); err != nil {
		h.Fatalf("%s: %v", path, err)
	}
	return path
}

// TestDeviceRules opens devices by nodes that only the device rules of the container's
// cgroup stand against.
func TestDeviceRules(t *testing.T) {
	h := start(t)
	const given, other = "/dev/fuse", "/dev/loop-control"
	for _, x := range []struct {
		name  string
		args  []string
		opens map[string]bool
	}{
		{"default", nil, map[string]bool{"/dev/null": true, given: false, other: false}},
		{"one device", []string{"--device", given + ":" + given + ":r"}, map[string]bool{"/dev/null": true, given: true, other: false}},
		{"privileged", []string{"--privileged"}, map[string]bool{"/dev/null": true, given: true, other: true}},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			c := h.container("c", append(x.args, "--userns", "host")...)
			nodes := map[string]string{}
			for device := range x.opens {
				nodes[device] = h.node(c, device)
			}
			check := func(when string) {
				t.Helper()
				for device, want := range x.opens {
					r := h.run("exec", c, "sh", "-c", ": <"+nodes[device])
					if got := r.code == 0; got != want || !got && !strings.Contains(r.err, "not permitted") {
						t.Errorf("%s: %s opens for reading: %v, want %v; %s", when, device, got, want, r.err)
					}
				}
			}
			check("at first")
			if x.name == "one device" {
				if r := h.run("exec", c, "sh", "-c", ": >"+nodes[given]); r.code == 0 {
					t.Error("a device given for reading opens for writing")
				}
			}
			h.ok("update", "--pids-limit", "99", c)
			check("after an update of something else")
		})
	}
}

// TestStatsAreTheKernels holds what stats says against the files it is from.
func TestStatsAreTheKernels(t *testing.T) {
	h := start(t)
	c := h.container("c", "--memory", "64m", "--pids-limit", "50")
	free := h.container("free")
	h.ok("exec", c, "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=8 2>/dev/null; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done")
	stats := func(name string) (s struct{ Memory, MemoryLimit, Pids, OOMKills uint64 }) {
		t.Helper()
		out := h.ok("stats", "--no-stream", "-o", "json", name)
		if err := json.Unmarshal([]byte(strings.Trim(out, "[] \n")), &s); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return s
	}
	s := stats(c)
	kernel := func(controller, v1, v2 string) (n uint64) {
		_, _ = fmt.Sscan(h.cgroupFile(h.pid(c), controller, v1, v2), &n) // 0 fails below
		return n
	}
	// memory is the working set: what is in use without what could be dropped at once. What
	// the exec has left may go between the two readings.
	if used := kernel("memory", "memory.usage_in_bytes", "memory.current"); s.Memory < 8<<20 || s.Memory > used+1<<20 {
		t.Errorf("memory %d, the kernel says %d", s.Memory, used)
	}
	if pids := kernel("pids", "pids.current", "pids.current"); s.Pids != pids || pids == 0 {
		t.Errorf("pids %d, the kernel says %d", s.Pids, pids)
	}
	if s.MemoryLimit != 64<<20 || s.OOMKills != 0 {
		t.Errorf("stats %+v", s)
	}
	if s := stats(free); s.MemoryLimit != 0 {
		t.Errorf("without a limit: memory %d; 0 is none", s.MemoryLimit)
	}
}

// TestStatsOfNetwork holds NET I/O against what the container sees of its interface.
func TestStatsOfNetwork(t *testing.T) {
	h := start(t)
	c, hosts := h.container("c"), h.container("hosts", "--network", "host")
	seen := func() (received, sent uint64) {
		t.Helper()
		for l := range strings.Lines(h.ok("exec", c, "cat", "/proc/net/dev")) {
			if name, rest, ok := strings.Cut(strings.TrimSpace(l), ":"); ok && name != "lo" {
				f := strings.Fields(rest)
				received, _ = strconv.ParseUint(f[0], 10, 64)
				sent, _ = strconv.ParseUint(f[8], 10, 64)
			}
		}
		return received, sent
	}
	h.run("exec", c, "sh", "-c", "wget -T 1 http://$(ip route | sed -n 's/default via //p' | cut -d ' ' -f 1):1/") // refused: traffic all the same
	received, sent := seen()
	var got []struct {
		Network *struct{ Received, Sent uint64 }
	}
	if err := json.Unmarshal([]byte(h.ok("stats", "--no-stream", "-o", "json", c, hosts)), &got); err != nil || len(got) != 2 {
		t.Fatal(err, got)
	}
	after, later := seen()
	if n := got[0].Network; n == nil || n.Received < received || n.Received > after || n.Sent < sent || n.Sent > later || n.Sent == 0 {
		t.Errorf("network %+v; seen %d, %d before and %d, %d after", n, received, sent, after, later)
	}
	if got[1].Network != nil {
		t.Errorf("the host's network: %+v", got[1].Network)
	}
	if out := h.ok("stats", "--no-stream", "--format", "{{.NetIO}}", hosts); out != "-" {
		t.Errorf("the host's network: %q", out)
	}
}

// TestBusyParent runs below a group that has processes of its own: on v2 it can pass no
// controller down, so what needs one is refused with the reason and all else works.
func TestBusyParent(t *testing.T) {
	testenv.Require(t, testenv.Cgroup2)
	h := start(t)
	busy := h.parent + "-busy"
	dir := "/sys/fs/cgroup" + busy
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeCgroups(busy) })
	sleeper := exec.Command("sleep", "1000")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(sleeper.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if r := h.code(125, "run", "--rm", "--cgroup-parent", busy, "--memory", "64m", image, "true"); !strings.Contains(r.err, "memory.") || !strings.Contains(r.err, "processes of its own") {
		t.Errorf("a limit: %s", r.err)
	}
	c := h.container("c", "--cgroup-parent", busy)
	if got := parentGroup(h, h.pid(c)); got != busy {
		t.Errorf("its parent is %q", got)
	}
	h.ok("exec", c, "true")
	h.ok("stats", "--no-stream", c)
	h.ok("pause", c)
	h.ok("unpause", c)
	h.ok("rm", "-f", c)
}
