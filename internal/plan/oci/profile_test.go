package oci

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/host"

	"github.com/google/go-cmp/cmp"
)

func machine(caps ...string) Machine {
	return Machine{Arch: "amd64", Kernel: host.Version{Major: 5, Minor: 14}, Caps: caps}
}

const dockerForm = `{
	"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
	"archMap": [
		{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
		{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
	],
	"syscalls": [
		{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
		{"name": "old", "action": "SCMP_ACT_ALLOW", "comment": "", "args": [], "includes": {}, "excludes": {}},
		{"names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
		{"names": ["amd"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
		{"names": ["admin"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_BPF"]}},
		{"names": ["other"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}},
		{"names": ["young"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "5.15"}},
		{"names": ["aged"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.20"}},
		{"names": ["gone"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "5.14"}}
	]
}`

func TestProfileConditions(t *testing.T) {
	tests := []struct {
		name string
		m    Machine
		want string
	}{
		{"no capabilities", machine(), "read old amd other aged"},
		{"one of two", machine("CAP_SYS_ADMIN"), "read old amd aged"},
		{"both", machine("CAP_SYS_ADMIN", "CAP_BPF"), "read old amd admin aged"},
		{"arm64, old kernel", Machine{Arch: "arm64", Kernel: host.Version{Major: 4, Minor: 4}}, "read old arm other gone"},
		{"new kernel", Machine{Arch: "amd64", Kernel: host.Version{Major: 7, Minor: 0}}, "read old amd other young aged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Profile(dockerForm, tt.m)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range p.Syscalls {
				got = append(got, s.Names[0])
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%v, want %s", got, tt.want)
			}
			first := specs.ArchX86_64
			if tt.m.Arch == "arm64" {
				first = specs.ArchAARCH64
			}
			if p.Architectures[0] != first || *p.DefaultErrnoRet != 38 {
				t.Errorf("%v %d", p.Architectures, *p.DefaultErrnoRet)
			}
		})
	}
}

// TestProfileOCI: the OCI's own form comes back as it went in.
func TestProfileOCI(t *testing.T) {
	want := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{specs.ArchX86_64},
		Flags:         []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog},
		Syscalls: []specs.LinuxSyscall{{Names: []string{"ptrace"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(1)),
			Args: []specs.LinuxSeccompArg{{Index: 5, Value: 1 << 63, ValueTwo: 2, Op: specs.OpMaskedEqual}}}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Profile(string(text), machine())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestProfileRefusals(t *testing.T) {
	rule := func(s string) string { return `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{` + s + `}]}` }
	tests := []struct{ name, text, want string }{
		{"empty", `{}`, "defaultAction: is missing"},
		{"cut off", "{\n\"defaultAction\":", "line 2 column"},
		{"syntax", "{\n  \"defaultAction\": nope}", "line 2 column"},
		{"kind", "{\n\"defaultAction\": 3}", "field defaultAction is a number"},
		{"unknown field", `{"defaultAction":"SCMP_ACT_ALLOW","rules":[]}`, `unknown field`},
		{"more", `{"defaultAction":"SCMP_ACT_ALLOW"} {}`, "more follows"},
		{"too long", `{` + strings.Repeat(" ", maxProfile), "bytes are more than"},
		{"default action", `{"defaultAction":"allow"}`, `unknown action "allow"`},
		{"both forms", `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}`, "archMap"},
		{"architecture", `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["VAX"]}`, `"VAX"`},
		{"flag", `{"defaultAction":"SCMP_ACT_ALLOW","flags":["X"]}`, `flags[0]`},
		{"listener", `{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/x"}`, "listenerPath"},
		{"notify", rule(`"names":["a"],"action":"SCMP_ACT_NOTIFY"`), "syscalls[0].action: notify"},
		{"no name", rule(`"action":"SCMP_ACT_ALLOW"`), "syscalls[0]: names no system call"},
		{"two names", rule(`"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"`), "both name and names"},
		{"empty name", rule(`"names":[""],"action":"SCMP_ACT_ALLOW"`), "syscalls[0].names"},
		{"errno too large", rule(`"names":["a"],"action":"SCMP_ACT_ERRNO","errnoRet":4096`), "above 4095"},
		{"errno name", rule(`"names":["a"],"action":"SCMP_ACT_ERRNO","errno":"EPERM"`), "errnoRet"},
		{"errno of allow", rule(`"names":["a"],"action":"SCMP_ACT_ALLOW","errnoRet":1`), "takes no errno"},
		{"index", rule(`"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]`), "args[0].index"},
		{"op", rule(`"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"="}]`), "args[0].op"},
		{"kernel", rule(`"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"five"}`), `syscalls[0]: minKernel "five"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Profile(tt.text, machine())
			if err == nil {
				t.Fatalf("%+v", p)
			}
			k := fault.KindOf(err)
			if (k != fault.Invalid && k != fault.Unsupported) || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "seccomp profile: ") {
				t.Errorf("%v: %v, want …%s…", k, err, tt.want)
			}
		})
	}
}

// TestDefaultProfile: the default profile follows the capabilities, and privileged
// means none unless a profile is given.
func TestDefaultProfile(t *testing.T) {
	mount := func(r Request) bool {
		out, err := Container(r)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(out.Linux.Seccomp.Syscalls, func(s specs.LinuxSyscall) bool {
			return s.Action == specs.ActAllow && slices.Contains(s.Names, "mount") && len(s.Args) == 0
		})
	}
	r := plain()
	if mount(r) {
		t.Error("mount is allowed by default")
	}
	r.Container.Security.CapAdd = []string{"SYS_ADMIN"}
	if !mount(r) {
		t.Error("mount is not allowed with CAP_SYS_ADMIN")
	}
	r.Container.Security.Privileged = true
	if out, err := Container(r); err != nil || out.Linux.Seccomp != nil {
		t.Errorf("privileged: %v", err)
	}
	r.Container.Security.Seccomp = "\n" + dockerForm
	if out, err := Container(r); err != nil || out.Linux.Seccomp == nil {
		t.Errorf("privileged with a profile: %v", err)
	}
}

func TestProfilesAreBounded(t *testing.T) {
	var c profiles
	for i := range 3 * maxProfiles {
		if _, err := c.of(`{"defaultAction":"SCMP_ACT_ALLOW"}`+strings.Repeat(" ", i), machine()); err != nil {
			t.Fatal(err)
		}
		if len(c.made) > maxProfiles {
			t.Fatalf("%d profiles", len(c.made))
		}
	}
}
