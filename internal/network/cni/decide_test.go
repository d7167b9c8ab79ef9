package cni

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
)

func parsed(t *testing.T, texts ...string) *networks {
	t.Helper()
	n := &networks{}
	for _, text := range texts {
		list, err := libcni.NetworkConfFromBytes([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		n.lists = append(n.lists, list)
	}
	n.first = n.lists[0]
	return n
}

// TestRefused: what no plugin can do is said by name, and what would be more than a word
// goes nowhere.
func TestRefused(t *testing.T) {
	n := parsed(t, `{"name":"lan","cniVersion":"1.0.0","plugins":[{"type":"one"}]}`)
	for name, c := range map[string]struct {
		a    pod.Attachment
		kind fault.Kind
		text string
	}{
		"port":      {pod.Attachment{Spec: &spec.Pod{Ports: []spec.Port{{ContainerPort: 80, HostPort: 80}}}}, fault.Unsupported, "portMappings"},
		"any port":  {pod.Attachment{Spec: &spec.Pod{Ports: []spec.Port{{ContainerPort: 80, HostPort: -1}}}}, fault.Unsupported, "port 80"},
		"bandwidth": {pod.Attachment{Spec: &spec.Pod{Annotations: map[string]string{egressAnnotation: "1M"}}}, fault.Unsupported, "bandwidth"},
		"no rate":   {pod.Attachment{Spec: &spec.Pod{Annotations: map[string]string{egressAnnotation: "fast"}}}, fault.Invalid, egressAnnotation},
		"slow rate": {pod.Attachment{Spec: &spec.Pod{Annotations: map[string]string{ingressAnnotation: "1"}}}, fault.Invalid, "1k"},
		"ip":        {pod.Attachment{Spec: &spec.Pod{}, Joins: []spec.Join{{Network: "lan", IPs: []string{"10.0.0.2"}}}}, fault.Unsupported, "ips"},
		"no ip":     {pod.Attachment{Spec: &spec.Pod{}, Joins: []spec.Join{{Network: "lan", IPs: []string{"x"}}}}, fault.Invalid, `"x"`},
		"no mac":    {pod.Attachment{Spec: &spec.Pod{}, Joins: []spec.Join{{Network: "lan", MAC: "x"}}}, fault.Invalid, "x"},
		"alias":     {pod.Attachment{Spec: &spec.Pod{}, Joins: []spec.Join{{Network: "lan", Aliases: []string{"db"}}}}, fault.Unsupported, "aliases"},
		"network":   {pod.Attachment{Spec: &spec.Pod{}, Joins: []spec.Join{{Network: "wan"}}}, fault.NotFound, `"wan"`},
		"further":   {pod.Attachment{Spec: &spec.Pod{Annotations: map[string]string{networksAnnotation: "wan"}}}, fault.NotFound, `"wan"`},
		"twice":     {pod.Attachment{Spec: &spec.Pod{Annotations: map[string]string{networksAnnotation: "lan@net1,lan@net1"}}}, fault.Invalid, "net1"},
		"nonsense":  {pod.Attachment{Spec: &spec.Pod{Annotations: map[string]string{networksAnnotation: "../lan"}}}, fault.Invalid, networksAnnotation},
	} {
		if _, err := want(n, c.a); !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.kind, c.text)
		}
	}
	a := pod.Attachment{Spec: &spec.Pod{UID: "x;K8S_POD_NAME=other"}}
	if _, err := arguments(a); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "K8S_POD_UID") {
		t.Errorf("%v", err)
	}
}

// TestKubelet: of a pod that comes through the CRI the annotation is Multus's, and host
// ports may be another's work.
func TestKubelet(t *testing.T) {
	n := parsed(t, `{"name":"lan","cniVersion":"1.0.0","plugins":[{"type":"one"}]}`)
	all, err := want(n, pod.Attachment{Spec: &spec.Pod{
		Owner: ownerCRI, Annotations: map[string]string{networksAnnotation: "wan"}, Ports: []spec.Port{{ContainerPort: 80, HostPort: 80}},
	}})
	if err != nil || len(all) != 1 || all[0].ifname != "eth0" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestSelections(t *testing.T) {
	for text, wanted := range map[string]string{
		"a":               "a net",
		"a, b@eth5 ,ns/c": "a net|b eth5|c net",
		"ns/a@x.1":        "a x.1",
		`[{"name":"a"}]`:  "a net",
		` [{"name":"a","namespace":"ns","interface":"eth7","ips":["10.0.0.1/24"],"mac":"02:00:00:00:00:01"}]`: "a eth7 10.0.0.1/24 02:00:00:00:00:01",
		"": "!", ",": "!", "a@": "!", "a b": "!", "a@sixteencharacters": "!", "[": "!", `[{"name":""}]`: "!",
		`[{"name":"a@b"}]`:                  "!",
		`[{"name":"a","interface":"../x"}]`: "!",
		strings.Repeat("a,", 33) + "a":      "!",
	} {
		got, err := selections(text)
		var parts []string
		for _, j := range got {
			name := j.ifname
			if name == "" {
				name = j.prefix
			}
			parts = append(parts, strings.Join(slices.DeleteFunc(append([]string{j.Network, name}, append(j.IPs, j.MAC)...), func(s string) bool { return s == "" }), " "))
		}
		is := strings.Join(parts, "|")
		if err != nil {
			is = "!"
		}
		if is != wanted {
			t.Errorf("%q: %s (%v), want %s", text, is, err, wanted)
		}
	}
}

func FuzzSelections(f *testing.F) {
	f.Add("ns/a@eth0, b")
	f.Add(`[{"name":"a","interface":"eth7","ips":["10.0.0.1/24"]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := selections(text)
		if err == nil && len(all) == 0 && strings.TrimSpace(text)[0] != '[' {
			t.Errorf("%q is nothing", text)
		}
		for _, j := range all {
			if strings.ContainsAny(j.Network+j.ifname, "/\x00\n ") || len(j.ifname) > 15 {
				t.Errorf("%q gives %q %q", text, j.Network, j.ifname)
			}
		}
	})
}

// FuzzResult: whatever a plugin prints is refused or is a connection whose parts are what
// they should be.
func FuzzResult(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.0.0.1/24","gateway":"10.0.0.254","interface":0}],"dns":{"domain":"x"}}`))
	f.Add([]byte(`{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.0.0.1/24","interface":-1}]}`))
	f.Add([]byte(`{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/24"}}`))
	f.Add([]byte(`{"cniVersion":"1.1.0","ips":[null],"interfaces":[null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if sane(text) != nil {
			return
		}
		var r types100.Result
		if json.Unmarshal(text, &r) != nil {
			return
		}
		r.CNIVersion = "1.0.0"
		c, err := connection("lan", "eth0", &r)
		if err == nil && len(c.IPs) > maxAddresses {
			t.Errorf("%d addresses", len(c.IPs))
		}
	})
}

func TestConnection(t *testing.T) {
	for text, want := range map[string]string{
		// Only what is the pod's interface's.
		`{"cniVersion":"1.0.0","interfaces":[{"name":"br0"},{"name":"eth0","mac":"m","sandbox":"/x"},{"name":"eth1","sandbox":"/x"}],
		  "ips":[{"address":"10.0.0.1/24","interface":0},{"address":"10.0.0.2/24","gateway":"10.0.0.254","interface":1},{"address":"fd00::2/64","gateway":"fd00::1","interface":1},
		         {"address":"10.0.0.3/24","interface":2},{"address":"10.0.0.4/24","interface":7},{"address":"10.0.0.5/24"}]}`: "10.0.0.2 fd00::2 10.0.0.5|10.0.0.254 fd00::1|m",
		`{"cniVersion":"1.0.0"}`: "||",
	} {
		var r types100.Result
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		c, err := connection("lan", "eth0", &r)
		if got := strings.Join(c.IPs, " ") + "|" + strings.Join(c.Gateways, " ") + "|" + c.MAC; err != nil || got != want {
			t.Errorf("%s\n%s, %v, want %s", text, got, err, want)
		}
	}
}

// TestConfDir: the directory as it is now, though it need not exist; broken files are told
// and skipped.
func TestConfDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "etc", "cni", "net.d")
	c := &confDir{path: dir, log: slog.New(slog.DiscardHandler)}
	t.Cleanup(func() { c.close() })
	is := func(broken string, names ...string) {
		t.Helper()
		now := c.current()
		if diff := cmp.Diff(names, now.names()); diff != "" {
			t.Error(diff)
		}
		if broken == "" && now.broken != nil || broken != "" && (now.broken == nil || !strings.Contains(now.broken.Error(), broken)) {
			t.Errorf("broken: %v, want %q", now.broken, broken)
		}
	}
	put := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	is("")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	is("")
	put("20-b.conf", `{"cniVersion":"0.3.1","name":"b","type":"bridge"}`)
	is("", "b")
	put("10-a.conflist", `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"bridge"}]}`)
	put("README", "not a configuration")
	put("30-a.conflist", `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"other"}]}`)
	put("01-podman.conflist", `{"cniVersion":"0.4.0","name":"podman","plugins":[{"type":"bridge"}]}`)
	put("02-nerdctl.conflist", `{"cniVersion":"1.0.0","name":"other","nerdctlID":0,"plugins":[{"type":"bridge"}]}`)
	is("", "podman", "other", "a", "b")
	if first := c.current().first; first == nil || first.Name != "a" {
		t.Errorf("the default network is %+v", first)
	}
	for _, name := range []string{"01-podman.conflist", "02-nerdctl.conflist"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	is("", "a", "b")
	if c.current().lists[0].Plugins[0].Network.Type != "bridge" {
		t.Error("the later one of two with one name")
	}
	if first := c.current(); c.current() != first {
		t.Error("read anew though nothing has changed")
	}
	for file, text := range map[string]string{
		"05-x.conflist": "{", "06-x.conflist": `{"name":"x"}`, "07-x.conflist": `{"name":"../x","plugins":[{"type":"a"}]}`,
		"08-x.conflist": `{"name":"x","plugins":[{"type":"../../bin/sh"}]}`, "09-x.conf": `{"name":"x"}`,
	} {
		put(file, text)
		is(file, "a", "b")
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	is("", "a", "b")
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	is("")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put("x.conf", `{"cniVersion":"0.3.1","name":"c","type":"bridge"}`)
	is("", "c")
}

func TestChoice(t *testing.T) {
	n := &Network{conf: confDir{path: t.TempDir(), log: slog.New(slog.DiscardHandler)}, ledger: ledger{records: map[string]record{"ours": {}}}}
	t.Cleanup(func() { n.conf.close() })
	named := pod.Attachment{PodID: "x", Joins: []spec.Join{{Network: "lan"}}}
	check := func(mode string, a pod.Attachment, want bool) {
		t.Helper()
		if got := (Choice{Mode: mode, CNI: n}).plugins(a); got != want {
			t.Errorf("%s, %+v: plugins %v, want %v", mode, a, got, want)
		}
	}
	check(Auto, pod.Attachment{PodID: "x"}, false)
	check(Only, pod.Attachment{PodID: "x"}, true)
	check(Auto, named, false)
	if err := os.WriteFile(filepath.Join(n.conf.path, "a.conflist"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(Auto, pod.Attachment{PodID: "x"}, true) // a broken configuration is no wish for another network
	if err := os.WriteFile(filepath.Join(n.conf.path, "a.conflist"), []byte(`{"name":"lan","plugins":[{"type":"a"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	check(Auto, pod.Attachment{PodID: "x"}, true)
	check(Auto, named, true)
	check(Auto, pod.Attachment{PodID: "x", Joins: []spec.Join{{Network: "other"}}}, false)
	check(Auto, pod.Attachment{PodID: "x", Joins: []spec.Join{{Network: "default"}}}, true)
	if all, err := want(n.conf.current(), pod.Attachment{Spec: &spec.Pod{}, Joins: []spec.Join{{Network: "default"}}}); err != nil || all[0].list.Name != "lan" {
		t.Errorf("the default network by its name: %+v, %v", all, err)
	}
	check(Never, named, false)
	check(Never, pod.Attachment{PodID: "ours"}, true)
}
