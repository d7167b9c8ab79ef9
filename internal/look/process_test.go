package look

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
)

const status = "Name:\tsh\\nevil\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t31\nPPid:\t30\nUid:\t1000\t1001\t1002\t1003\n" +
	"Gid:\t100\t101\t102\t103\nNSpid:\t31\t7\t1\nVmRSS:\t    2048 kB\nThreads:\t4\nCapInh:\t0000000000000001\nCapPrm:\t00000000a80425fb\n" +
	"CapEff:\t00000000a80425fa\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000002\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n"

func TestParseStatus(t *testing.T) {
	var p Process
	if err := ParseStatus(strings.NewReader(status), &p); err != nil {
		t.Fatal(err)
	}
	want := Process{
		PPID: 30, Comm: `sh\nevil`, State: "S", UID: 1001, GID: 101, NSpid: []int{31, 7, 1}, Threads: 4, RSS: 2 << 20,
		Caps:    Caps{Inheritable: 1, Permitted: 0xa80425fb, Effective: 0xa80425fa, Bounding: 1<<41 - 1, Ambient: 2},
		Seccomp: 2, Filters: 3, NoNewPrivs: true,
	}
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "Name:\tx\n", "PPid:\t1\n", "\x00\x00"} {
		if err := ParseStatus(strings.NewReader(bad), &p); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseStart(t *testing.T) {
	// The name may hold anything that looks like the rest of the line.
	fields := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n"
	for _, name := range []string{"sh", ") S 1", "(((", "a b) c", ""} {
		if got, err := ParseStart(strings.NewReader("31 (" + name + ")" + fields)); got != 4711 || err != nil {
			t.Errorf("%q: %d, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "31 (sh) S 1", "31 (sh)" + strings.Replace(fields, "4711", "x", 1)} {
		if got, err := ParseStart(strings.NewReader(bad)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %d, %v", bad, got, err)
		}
	}
}

func TestParseArgs(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"\x00\x00", nil},
		{"sh\x00-c\x00a b\x00", []string{"sh", "-c", "a b"}},
		{"nginx: master process\x00\x00\x00   ", []string{"nginx: master process"}},
		{"a\x00\x00b\x00", []string{"a", "", "b"}},
	} {
		if got, err := ParseArgs(strings.NewReader(c.text)); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, %v", c.text, got, err)
		}
	}
	p := Process{Comm: "kswapd0"}
	if got := p.Command(); got != "[kswapd0]" {
		t.Errorf("command of a thread of the kernel: %q", got)
	}
}

func TestParsePlaces(t *testing.T) {
	got, err := ParsePlaces(strings.NewReader("5:cpu,cpuacct:/a:b\n1:name=systemd:/\nx:y:/z\nbroken\n-1::/\n3:pids:relative\n0::/c\n"))
	want := []Place{{5, []string{"cpu", "cpuacct"}, "/a:b"}, {1, []string{"name=systemd"}, "/"}, {0, nil, "/c"}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestParseMaps(t *testing.T) {
	got, err := ParseMaps(strings.NewReader("         0     100000      65536\n     65536 4294967294          1\n"))
	if want := []Map{{0, 100000, 65536}, {65536, 4294967294, 1}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ParseMaps(strings.NewReader("0 1\n")); !fault.Is(err, fault.Invalid) {
		t.Errorf("short line: %v", err)
	}
}

func TestParseNamespace(t *testing.T) {
	for _, k := range Kinds() {
		want := Namespace{k, 4026531833}
		if got, err := ParseNamespace(want.String()); got != want || err != nil {
			t.Errorf("%v: %v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "net:", "net:[]", "net:[0]", "net:[1", "net:[-1]", "foo:[1]", "net:[1] ", "/run/netns/x"} {
		if got, err := ParseNamespace(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func TestNSInJSON(t *testing.T) {
	b, err := json.Marshal(NS{Mnt: 1, Net: 2})
	if string(b) != `{"mnt":1,"net":2}` || err != nil {
		t.Errorf("%s, %v", b, err)
	}
}

func TestReadPath(t *testing.T) {
	for _, c := range []struct {
		path string
		want Trace
	}{
		{"/", Trace{}},
		{"/docker/" + idA, Trace{Engine: Docker, ID: idA}},
		{"/docker/" + idA + " (deleted)", Trace{Engine: Docker, ID: idA}},
		{"/system.slice/docker-" + idA + ".scope", Trace{Engine: Docker, ID: idA, Unit: "docker-" + idA + ".scope"}},
		{"/kubepods/besteffort/pod" + uid + "/" + idA, Trace{Engine: Containerd, ID: idA, Pod: uid}},
		{"/kubepods/besteffort/pod" + uid, Trace{Pod: uid}},
		{"/kubepods.slice/kubepods-pod4a8d5c3e_3821_4727_9d20_965febbccfbb.slice/cri-containerd-" + idA + ".scope",
			Trace{Engine: Containerd, ID: idA, Pod: uid, Unit: "cri-containerd-" + idA + ".scope"}},
		{"/carob/" + idD + "/" + idA, Trace{Engine: Carob, ID: idA, Pod: idD}},
		{"/carob/" + idA, Trace{Engine: Carob, ID: idA}},
		{"/carob/" + idD + "/supervisor", Trace{Engine: Carob, Pod: idD}},
		{"/apart/" + idD + "/supervisor", Trace{Engine: Carob, Pod: idD}},
		{"/carob/supervisors", Trace{}},
		{"/machine.slice/carob-" + idD + ".scope/" + idD + "/" + idA, Trace{Engine: Carob, ID: idA, Pod: idD, Unit: "carob-" + idD + ".scope"}},
		{"/machine.slice/carob-" + idD + ".scope/" + idD + "/supervisor", Trace{Engine: Carob, Pod: idD, Unit: "carob-" + idD + ".scope"}},
		{"/docker/" + idA + "/supervisor", Trace{Engine: Docker, ID: idA}},
		// A container in a container: the inner one counts.
		{"/docker/" + idA + "/docker/" + idB, Trace{Engine: Docker, ID: idB}},
		{"/docker/" + idA + "/libpod-" + idB, Trace{Engine: Podman, ID: idB}},
		{"/mine/" + idD + "/libpod-" + idB, Trace{Engine: Podman, ID: idB, Pod: idD}},
		{"/mine/libpod-" + idB, Trace{Engine: Podman, ID: idB}},
		// What only looks like an identifier.
		{"/docker/" + idA[1:], Trace{}},
		{"/docker/" + strings.ToUpper(idA), Trace{}},
		{"/pod" + uid[:20], Trace{}},
		{"/lxc/../x", Trace{Engine: LXC, ID: ".."}},
		{"/system.slice/cups.service", Trace{Unit: "cups.service"}},
	} {
		if got := ReadPath(c.path); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.path, got, c.want)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte(status))
	f.Add([]byte("31 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"))
	f.Add([]byte("5:cpu,cpuacct:/a\n0::/docker/" + strings.Repeat("a", 64) + "\n"))
	f.Add([]byte("0 100000 65536\n"))
	f.Add([]byte("net:[4026531833]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Process
		if ParseStatus(bytes.NewReader(b), &p) == nil && strings.Contains(p.Comm, "\n") {
			t.Errorf("a name of two lines: %q", p.Comm)
		}
		if p.PPID < 0 || p.Threads < 0 {
			t.Errorf("negative: %+v", p)
		}
		args, _ := ParseArgs(bytes.NewReader(b))
		for _, a := range args {
			if strings.Contains(a, "\x00") {
				t.Errorf("an argument with a zero in it: %q", a)
			}
		}
		places, _ := ParsePlaces(bytes.NewReader(b))
		for _, pl := range places {
			if pl.Hierarchy < 0 || pl.Path[0] != '/' {
				t.Errorf("%+v", pl)
			}
			if tr := ReadPath(pl.Path); len(tr.Pod) > 0 && len(tr.Pod) < 32 {
				t.Errorf("%q: pod %q", pl.Path, tr.Pod)
			}
		}
		if n, err := ParseNamespace(string(b)); err == nil {
			if again, err := ParseNamespace(n.String()); again != n || err != nil {
				t.Errorf("%v is not read as it is written: %v", n, err)
			}
		}
		_, _ = ParseStart(bytes.NewReader(b)) // must only come back
		_, _ = ParseMaps(bytes.NewReader(b))
	})
}
