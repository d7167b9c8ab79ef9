package config

import (
	"strings"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/ident"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse("f", strings.NewReader(`
root = "/a"
[userns]
base = 5
[handlers.gvisor]
path = "/usr/bin/runsc"
options = ["platform=ptrace", "debug"]
`))
	want := File{
		Root: "/a", Userns: Userns{Base: 5},
		Handlers: map[string]Handler{"gvisor": {Path: "/usr/bin/runsc", Options: []string{"platform=ptrace", "debug"}}},
	}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Parse("f", strings.NewReader("")); err != nil || cmp.Diff(File{}, got) != "" {
		t.Errorf("an empty file: %+v, %v", got, err)
	}
}

// TestDefaultSaysWhatIs holds the file that people start from against the program.
func TestDefaultSaysWhatIs(t *testing.T) {
	got, err := Parse("default", strings.NewReader(Default()))
	want := File{
		Root: "/var/lib/carob", Run: "/run/carob", Socket: "/run/carob/api.sock",
		RegistryConfig: "/etc/carob/certs.d",
		CgroupDriver:   "auto",
		NRI: NRI{
			Socket: "/var/run/nri/nri.sock", PluginDir: "/opt/nri/plugins", ConfigDir: "/etc/nri/conf.d",
			Registration: Duration(5 * time.Second), Request: Duration(5 * time.Second),
		},
		CDISpecDirs: []string{"/etc/cdi", "/var/run/cdi"},
		CRISocket:   "/run/carob/carob.sock", CRIStreams: "127.0.0.1:0", LogLevel: "info",
		Userns:  Userns{Base: ident.DefaultBase, Size: 1<<31 - ident.DefaultBase},
		Network: Network{Driver: "auto", CNIConfDir: "/etc/cni/net.d", CNIBinDirs: []string{"/opt/cni/bin", "/usr/lib/cni"}},
	}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"\nruntime = 1\n":                               "f:2: runtime: there is no such setting",
		"[handlers.x]\npath = '/x'\nargs = []\n":        "f:3: handlers.x.args: there is no such setting",
		"root = 5\n":                                    "f:1:8: ",
		"\n\nroot\n":                                    "f:3:",
		"[userns]\nbase = -1\n":                         "f:2:8: ",
		"\nroot = 'x'\n":                                `f:2: root: "x" is not an absolute path`,
		"[handlers.native]\npath = '/x'\n":              "f:1: handlers.native: native is carob's own",
		"[handlers.A_B]\npath = '/x'\n":                 "f:1: handlers.A_B: a name has",
		"\n[handlers.x]\n\n":                            `f:2: handlers.x.path: "" is not`,
		"[handlers.x]\npath='/x'\noptions=['--a']":      `f:3: handlers.x.options: "--a"`,
		"[handlers.x]\npath='/x'\noptions=['']":         `f:3: handlers.x.options: ""`,
		"handlers.x.path='/x'\nhandlers.x.options=['']": `f:2: handlers.x.options: ""`,
		"[handlers]\ny={path='/y'}\nx={path='x'}":       `f:3: handlers.x.path: "x"`,
		"log-level = 'INFO'\n":                          `f:1: log-level: "INFO": use debug, info, warn, error`,
		"cri-socket = 'carob.sock'\n":                   `f:1: cri-socket: "carob.sock" is neither`,
		"cri-streams = ':x'\n":                          `f:1: cri-streams: ":x": the port`,
		"cgroup-driver = 'cgroup'\n":                    `f:1: cgroup-driver: "cgroup": use auto`,
		"[network]\n# so\ndriver = 'x'\n":               `f:3: network.driver: "x": use auto, cni, builtin`,
		"[metrics]\naddress = '9090'\n":                 `f:2: metrics.address: "9090": want HOST:PORT`,
		"[tracing]\nendpoint = 'http://x:1'\n":          `f:2: tracing.endpoint: "http://x:1": want`,
		"\n[userns]\nsize = 65535\n":                    "f:2: userns: id range: no 65536 free ids",
		"[userns]\nbase = 4294967295\n":                 "f:1: userns: id range: ",
		"[network]\naddress-pools = ['10.1.2.3/8']\n":   "f:2: network.address-pools: address pool 10.1.2.3/8: has bits",
		"[network]\ncni-bin-dirs = ['/a', 'b']\n":       `f:2: network.cni-bin-dirs: "b" is not`,
		"[tracing]\nsampling = 1.5\n":                   "f:2: tracing.sampling: 1.5 is not between",
		"[tracing]\nsampling = nan\n":                   "f:2: tracing.sampling: NaN is not between",
		"# " + strings.Repeat("x", maxSize) + "\n":      "f: larger than",
		"cdi-spec-dirs = ['x']\n":                       `f:1: cdi-spec-dirs: "x" is not an absolute path`,
		"[nri]\n\nrequest-timeout = '2'\n":              "f:3:19: ",
		"[nri]\nsocket = 'x'\n":                         `f:2: nri.socket: "x" is not an absolute path`,
	} {
		_, err := Parse("f", strings.NewReader(text))
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

func TestParseHandler(t *testing.T) {
	name, h, err := ParseHandler("gv=/usr/bin/runsc,platform=ptrace,debug")
	if err != nil || name != "gv" || cmp.Diff(Handler{"/usr/bin/runsc", []string{"platform=ptrace", "debug"}}, h) != "" {
		t.Errorf("%q %+v %v", name, h, err)
	}
	for _, bad := range []string{"", "x", "x=", "x=runc", "native=/x", "x=/y,", "x=/y,--z", "a b=/x"} {
		if _, _, err := ParseHandler(bad); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), "--handler") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Default())
	f.Add("[handlers.x]\npath='/x'\n")
	f.Add("a.b=1\n[[handlers]]\n[metrics]\naddress='x'\n")
	f.Add("[handlers.x]\npath='x'\noptions=[\"\"\"\n\"\"\"]\nlog-level=''")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse("f", strings.NewReader(text))
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%v does not name the file", err)
		}
		if err != nil && cmp.Diff(File{}, got) != "" {
			t.Errorf("%v, and %+v", err, got)
		}
	})
}
