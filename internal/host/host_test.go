package host

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func machine() fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/sys/kernel/osrelease":                                "6.18.44-fc-v669\n",
		"proc/sys/kernel/random/boot_id":                           "4d1f\n",
		"proc/self/mountinfo":                                      "1 2 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n2 2 0:4 / /u rw shared:1 - cgroup2 cgroup2 rw\n",
		"proc/self/status":                                         "Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t000001fffeffffff\nSeccomp:\t0\n",
		"proc/self/uid_map":                                        "         0          0 4294967295\n",
		"proc/self/limits":                                         "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files     \n",
		"proc/self/oom_score_adj":                                  "-500\n",
		"proc/sys/user/max_user_namespaces":                        "1000\n",
		"proc/sys/kernel/seccomp/actions_avail":                    "kill_process errno allow\n",
		"proc/filesystems":                                         "nodev\tsysfs\nnodev\toverlay\n\text4\n",
		"proc/meminfo":                                             "MemTotal:       24684084 kB\nMemFree: 1 kB\nSwapTotal:  1024 kB\nHugePages_Total: 0\n",
		"sys/devices/system/cpu/online":                            "0-3,8\n",
		"sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages": "0\n",
		"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages":    "0\n",
		"sys/kernel/mm/hugepages/hugepages-64kB/nr_hugepages":      "0\n",
		"sys/kernel/mm/hugepages/something":                        "",
		"sys/module/apparmor/parameters/enabled":                   "Y\n",
		"run/systemd/system/x":                                     "",
	} {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestReadFacts(t *testing.T) {
	got, err := read(machine())
	want := Facts{
		Kernel: Version{6, 18}, KernelRelease: "6.18.44-fc-v669", BootID: "4d1f", CgroupMode: "hybrid", Systemd: true,
		Capabilities: 0x1fffeffffff, InitialUserNS: true, UserNamespaces: true, OOMScoreAdjMin: -500, MaxOpenFiles: 524288,
		SeccompActions: []string{"kill_process", "errno", "allow"}, AppArmor: true,
		Filesystems: []string{"ext4", "overlay", "sysfs"},
		CPUs:        5, Memory: 24684084 << 10, Swap: 1 << 20, HugePageSizes: []string{"64KB", "2MB", "1GB"},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
	if got.Capabilities.Has(CapSysResource) || !got.Capabilities.Has(CapSysAdmin) || !got.Seccomp() {
		t.Errorf("%#x", got.Capabilities)
	}
	for ask, want := range map[int]int{-997: -500, 0: 0, 2000: 1000} {
		if got := got.ClampOOMScoreAdj(ask); got != want {
			t.Errorf("oom_score_adj %d becomes %d", ask, got)
		}
	}
}

func TestReadWithEverything(t *testing.T) {
	m := machine()
	m["proc/self/status"].Data = []byte("CapEff:\t000001ffffffffff\n")
	f, err := read(m)
	if err != nil || f.OOMScoreAdjMin != -1000 || f.Seccomp() {
		t.Errorf("%+v, %v", f, err)
	}
	m["proc/self/uid_map"].Data = []byte("0 100000 65536\n")
	if f, err = read(m); err != nil || f.InitialUserNS || f.OOMScoreAdjMin != -500 {
		t.Errorf("in a user namespace: %+v, %v", f, err)
	}
}

func TestReadNothing(t *testing.T) {
	f, err := read(fstest.MapFS{})
	if err != nil || f.CgroupMode != "" || f.UserNamespaces || f.CPUs != 0 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestReadNonsense(t *testing.T) {
	for _, name := range []string{"proc/sys/kernel/osrelease", "proc/self/oom_score_adj", "sys/devices/system/cpu/online", "proc/sys/user/max_user_namespaces"} {
		m := machine()
		m[name].Data = []byte("nonsense")
		if _, err := read(m); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := read(broken{}); err == nil {
		t.Error("a file that cannot be opened passes for an absent one")
	}
}

type broken struct{}

func (broken) Open(string) (fs.File, error) { return nil, errors.New("broken") }

func TestReadThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	f, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	hostname, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	if f.KernelRelease != strings.TrimSpace(string(hostname)) || f.CPUs == 0 || f.Memory == 0 || f.CgroupMode == "" || f.MaxOpenFiles == 0 || !f.Kernel.AtLeast(4, 0) {
		t.Errorf("%+v", f)
	}
}

func TestVersion(t *testing.T) {
	for in, want := range map[string]Version{"6.18.44-fc": {6, 18}, "5.14-rc3\n": {5, 14}, "6.1": {6, 1}} {
		if v, err := ParseVersion(strings.NewReader(in)); v != want || err != nil {
			t.Errorf("%q: %v, %v", in, v, err)
		}
	}
	for _, in := range []string{"", "6", "6.", ".1", "x.y", "-6.1", "99999999.1"} {
		if v, err := ParseVersion(strings.NewReader(in)); err == nil {
			t.Errorf("%q: %v", in, v)
		}
	}
	v := Version{5, 14}
	if !v.AtLeast(5, 14) || !v.AtLeast(4, 20) || v.AtLeast(5, 15) || v.AtLeast(6, 0) || v.String() != "5.14" {
		t.Error("order of versions")
	}
}

func TestParseCPUList(t *testing.T) {
	for in, want := range map[string]int{"0\n": 1, "0-1\n": 2, "0-3,8,10-11": 7, "": 0} {
		if n, err := ParseCPUList(strings.NewReader(in)); n != want || err != nil {
			t.Errorf("%q: %d, %v", in, n, err)
		}
	}
	for _, in := range []string{"3-1", "1,1", "0-5,3", "a", "0-", ",", "0-99999999"} {
		if n, err := ParseCPUList(strings.NewReader(in)); err == nil {
			t.Errorf("%q: %d", in, n)
		}
	}
}

func FuzzParsers(f *testing.F) {
	for _, m := range machine() {
		f.Add(string(m.Data))
	}
	f.Fuzz(func(t *testing.T, s string) {
		in := func() *strings.Reader { return strings.NewReader(s) }
		if v, err := ParseVersion(in()); err == nil && (v.Major < 0 || v.Minor < 0) {
			t.Error(v)
		}
		if n, err := ParseCPUList(in()); err == nil && (n < 0 || n > 65536) {
			t.Error(n)
		}
		if m, sw, err := parseMeminfo(in()); err == nil && (m < 0 || sw < 0) {
			t.Error(m, sw)
		}
		if kb, ok := hugePageKB(s); ok && (kb <= 0 || sizeName(kb) == "") {
			t.Error(kb)
		}
		_, _ = parseCgroupMode(in())
		_, _ = parseStatus(in())
		_, _ = parseFilesystems(in())
		_, _ = parseInt(in())
	})
}
