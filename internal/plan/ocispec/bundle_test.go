package ocispec

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

func parse(t *testing.T, change func(*specs.Spec)) (*specs.Spec, error) {
	t.Helper()
	s := Default()
	change(s)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(strings.NewReader(string(text)))
}

func TestDefaultIsValid(t *testing.T) {
	s, err := parse(t, func(*specs.Spec) {})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Default(), s); d != "" {
		t.Error(d)
	}
}

func TestRefused(t *testing.T) {
	one := 1
	for field, change := range map[string]func(*specs.Spec){
		"ociVersion":          func(s *specs.Spec) { s.Version = "0.9" },
		"root":                func(s *specs.Spec) { s.Root = nil },
		"root.path":           func(s *specs.Spec) { s.Root.Path = "a\x00b" },
		"process":             func(s *specs.Spec) { s.Process = nil },
		"process.args":        func(s *specs.Spec) { s.Process.Args = []string{"a", "b\x00"} },
		"process.cwd":         func(s *specs.Spec) { s.Process.Cwd = "" },
		"process.env":         func(s *specs.Spec) { s.Process.Env = []string{"A=\x00"} },
		"process.user.uid":    func(s *specs.Spec) { s.Process.User.UID = 1<<32 - 1 },
		"process.user.gid":    func(s *specs.Spec) { s.Process.User.GID = 1<<32 - 1 },
		"process.user.umask":  func(s *specs.Spec) { u := uint32(0o1000); s.Process.User.Umask = &u },
		"process.oomScoreAdj": func(s *specs.Spec) { n := 1001; s.Process.OOMScoreAdj = &n },
		"process.consoleSize": func(s *specs.Spec) { s.Process.ConsoleSize = &specs.Box{Height: 1 << 20} },
		"process.rlimits[0]":  func(s *specs.Spec) { s.Process.Rlimits[0].Soft = 1 << 40 },
		"hostname":            func(s *specs.Spec) { s.Hostname = strings.Repeat("a", 65) },
		"domainname":          func(s *specs.Spec) { s.Domainname = "a\x00" },
		"linux.namespaces[0]": func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "new" },
		"linux.namespaces[1]": func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "relative" },
		"linux.namespaces[4]": func(s *specs.Spec) {
			s.Linux.Namespaces[4].Path = "/proc/1/ns/mnt"
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
			s.Linux.UIDMappings, s.Linux.GIDMappings = []specs.LinuxIDMapping{{Size: 1}}, []specs.LinuxIDMapping{{Size: 1}}
		},
		"linux.intelRdt.closID":           func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "a/b"} },
		"linux.intelRdt.closID: \"info\"": func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "info"} },
		"linux.intelRdt.l3CacheSchema":    func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f\x00"} },
		"linux.intelRdt.memBwSchema":      func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{MemBwSchema: "0=10"} },
		"linux.intelRdt.memBwSchema: \"M": func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{MemBwSchema: "MB:0=10\nL3:0=f"} },
		"linux.intelRdt.schemata[1]":      func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{Schemata: []string{"L3:0=f", "a\nb"}} },
		"linux.gidMappings": func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
			s.Linux.UIDMappings, s.Linux.GIDMappings = []specs.LinuxIDMapping{{Size: 1}}, []specs.LinuxIDMapping{{}}
		},
		"linux.timeOffsets":      func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"realtime": {}} },
		"mounts[0]: destination": func(s *specs.Spec) { s.Mounts[0] = specs.Mount{Destination: "/proc", Type: "tmpfs"} },
		"mounts[1]: options":     func(s *specs.Spec) { s.Mounts[1].Options = []string{"idmap"} },
		"mounts[2]: uidMappings": func(s *specs.Spec) { s.Mounts[2].UIDMappings = []specs.LinuxIDMapping{{Size: 1}} },
		"mounts[3]: source":      func(s *specs.Spec) { s.Mounts[3] = specs.Mount{Destination: "/a", Type: "bind"} },
		"mounts[4]":              func(s *specs.Spec) { s.Mounts[4].Destination = "" },
		"linux.devices[0]":       func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/../x", Type: "c"}} },
		"linux.devices[1]": func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/a", Type: "c"}, {Path: "/a", Type: "c"}}
		},
		"hooks.poststop[0]": func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x", Timeout: &one}}} },
		"linux.seccomp.listenerMetadata": func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerMetadata: "x"}
		},
		"linux.maskedPaths": func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"relative"} },
		"linux.netDevices":  func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a/b": {}} },
		"linux.personality.flags": func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Flags: []specs.LinuxPersonalityFlag{"X"}}
		},
		"linux.sysctl": func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4/../../kernel.x": "1"} },
	} {
		t.Run(field, func(t *testing.T) {
			_, err := parse(t, change)
			if err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("got %v", err)
			}
			if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Unsupported) {
				t.Errorf("kind of %v", err)
			}
		})
	}
}

// TestSysctls: only what belongs to a namespace of the container may be set.
func TestSysctls(t *testing.T) {
	for key, ok := range map[string]bool{
		"net.ipv4.ip_forward": true, "net/ipv4/conf/eth0.1/forwarding": true, "kernel.shmmax": true, "fs.mqueue.msg_max": true, "kernel.domainname": true,
		"kernel.core_pattern": false, "vm.swappiness": false, "kernel.hostname": false, "fs.file-max": false, "": false,
	} {
		if _, err := parse(t, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{key: "1"} }); (err == nil) != ok {
			t.Errorf("%q: %v", key, err)
		}
	}
	_, err := parse(t, func(s *specs.Spec) {
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		s.Linux.Namespaces = s.Linux.Namespaces[2:]
	})
	if err == nil || !strings.Contains(err.Error(), "host's network namespace") {
		t.Errorf("in the host's network: %v", err)
	}
}

func TestMappingsDoNotWrap(t *testing.T) {
	for _, m := range []specs.LinuxIDMapping{{HostID: 1<<32 - 1, Size: 2}, {ContainerID: 1<<32 - 2, Size: 5}, {Size: 0}} {
		_, err := parse(t, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
			s.Linux.UIDMappings, s.Linux.GIDMappings = []specs.LinuxIDMapping{m}, []specs.LinuxIDMapping{{Size: 1}}
		})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestGroup(t *testing.T) {
	for _, c := range []struct {
		path    string
		systemd bool
		want    string
	}{
		{"", false, "/carob-oci-id"}, {"/a/b", false, "/a/b"}, {"a/b", false, "/carob-oci/a/b"}, {"/a/../../b", false, "/b"},
		{"../..", false, ""}, {"/", false, ""}, {"a.slice:b:c", false, ""}, {"/a", true, ""}, {"a:b", true, ""},
		{"a-b.slice:c:d", true, "/a.slice/a-b.slice/c-d.scope/container"}, {"::d", true, "/system.slice/d.scope/container"},
		{"", true, "/system.slice/carob-oci-id.scope/container"}, {"a.slice:b:c.slice", true, ""}, {"a.slice::a-c.slice", true, ""},
		{"../x:b:c", true, ""}, {"a.slice:b:../../c", true, ""},
	} {
		got, err := Group(&specs.Spec{Linux: &specs.Linux{CgroupsPath: c.path}}, "id", c.systemd)
		if got.Path != c.want || (err == nil) != (c.want != "") || err == nil && (got.Scope != nil) != c.systemd {
			t.Errorf("%q, systemd %v: %+v, %v", c.path, c.systemd, got, err)
		}
	}
}

func TestDeviceRules(t *testing.T) {
	asked := specs.LinuxDeviceCgroup{Allow: true, Type: "b", Access: "r"}
	rules := DeviceRules([]specs.LinuxDeviceCgroup{asked})
	if rules[0].Allow || rules[0].Type != "" || rules[1] != asked {
		t.Errorf("rules begin with %+v", rules[:2])
	}
	for _, r := range rules[1:] {
		if !r.Allow {
			t.Errorf("%+v forbids", r)
		}
	}
}

func TestID(t *testing.T) {
	for id, ok := range map[string]bool{"a": true, "A-b_c.d+e0": true, "": false, ".": false, "..": false, "a/b": false, "a\n": false, "ä": false} {
		if err := ID(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-1": -1, "512": 512, "64k": 65536, "2M": 2 << 20, "1gb": 1 << 30, "3GiB": 3 << 30,
		"": -9, "x": -9, "1.5g": -9, "-1k": -9, "99999999999g": -9, "k": -9,
	} {
		got, err := Size(text)
		if want == -9 && err == nil || want != -9 && (err != nil || got != want) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestLimit(t *testing.T) {
	if _, err := Parse(strings.NewReader(strings.Repeat(" ", Limit+1))); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "larger") {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	text, err := json.Marshal(Default())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add(`{"ociVersion":"1.0.0","linux":{"namespaces":[{"type":"mount"}],"timeOffsets":{"x":{}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		if s.Process == nil || s.Root == nil || s.Linux == nil || s.Linux.Resources == nil || len(s.Process.Args) == 0 {
			t.Errorf("%+v has been taken", s)
		}
		for _, m := range s.Mounts {
			if !strings.HasPrefix(m.Destination, "/") || strings.Contains(m.Destination+"/", "/../") {
				t.Errorf("destination %q", m.Destination)
			}
		}
		for _, systemd := range []bool{false, true} {
			if g, err := Group(s, "id", systemd); err == nil && (g.Path == "/" || strings.Contains(g.Path+"/", "/../")) {
				t.Errorf("group %+v", g)
			}
		}
	})
}
