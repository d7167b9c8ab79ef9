package namespace_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/plan/namespace"
	"carob/internal/spec"
	"carob/internal/status"
)

var (
	mappingA = status.IDMapping{HostID: 1 << 20, Size: 1 << 16}
	mappingB = status.IDMapping{HostID: 1 << 21, Size: 1 << 16}
)

// peers are a and a2 in user namespace A, b in B, h in the host's.
func peers(ref string) (namespace.Peer, error) {
	for _, p := range []namespace.Peer{{ID: "a", Title: "a", IDs: mappingA}, {ID: "a2", Title: "a2", IDs: mappingA}, {ID: "b", Title: "b", IDs: mappingB}, {ID: "h", Title: "h"}} {
		if p.ID == ref {
			return p, nil
		}
	}
	return namespace.Peer{}, fault.New(fault.NotFound, "container "+ref+": no such container")
}

func TestPod(t *testing.T) {
	of := spec.OfContainer
	for _, tt := range []struct {
		name  string
		asked spec.Namespaces
		want  spec.Namespaces // only kinds that are not own
		ids   status.IDMapping
		fresh bool
		kind  fault.Kind
		word  string
	}{
		{name: "defaults", fresh: true},
		{name: "shared pid", asked: spec.Namespaces{PID: spec.OfPod}, want: spec.Namespaces{PID: spec.OfPod}, fresh: true},
		{name: "no network", asked: spec.Namespaces{Net: spec.None}, want: spec.Namespaces{Net: spec.None}, fresh: true},
		{name: "host net", asked: spec.Namespaces{Net: spec.Host}, want: spec.Namespaces{Net: spec.Host, User: spec.Host}},
		{name: "host pid and ipc", asked: spec.Namespaces{PID: spec.Host, IPC: spec.Host}, want: spec.Namespaces{PID: spec.Host, IPC: spec.Host, User: spec.Host}},
		{name: "host user", asked: spec.Namespaces{User: spec.Host}, want: spec.Namespaces{User: spec.Host}},
		{name: "own user, host uts", asked: spec.Namespaces{User: spec.Own, UTS: spec.Host}, want: spec.Namespaces{UTS: spec.Host}, fresh: true},
		{name: "own user, host net", asked: spec.Namespaces{User: spec.Own, Net: spec.Host}, kind: fault.Unsupported, word: "net namespace"},
		{name: "joins a", asked: spec.Namespaces{Net: of("a"), IPC: of("a2")}, want: spec.Namespaces{Net: of("a"), IPC: of("a2"), User: of("a")}, ids: mappingA},
		{name: "joins a, host uts", asked: spec.Namespaces{Net: of("a"), UTS: spec.Host}, want: spec.Namespaces{Net: of("a"), UTS: spec.Host, User: of("a")}, ids: mappingA},
		{name: "joins a, host net", asked: spec.Namespaces{IPC: of("a"), Net: spec.Host}, kind: fault.Unsupported, word: "container a"},
		{name: "joins a with own user", asked: spec.Namespaces{Net: of("a"), User: spec.Own}, kind: fault.Unsupported, word: "foreign user namespace"},
		{name: "joins a from the host's", asked: spec.Namespaces{Net: of("a"), User: spec.Host}, want: spec.Namespaces{Net: of("a"), User: spec.Host}},
		{name: "joins a and b", asked: spec.Namespaces{Net: of("a"), IPC: of("b")}, kind: fault.Unsupported, word: "nobody join both"},
		{name: "joins h", asked: spec.Namespaces{Net: of("h")}, want: spec.Namespaces{Net: of("h"), User: spec.Host}},
		{name: "user of a", asked: spec.Namespaces{User: of("a")}, want: spec.Namespaces{User: of("a")}, ids: mappingA},
		{name: "user of a, net of b", asked: spec.Namespaces{User: of("a"), Net: of("b")}, kind: fault.Unsupported, word: "another user namespace"},
		{name: "user of a, host pid", asked: spec.Namespaces{User: of("a"), PID: spec.Host}, kind: fault.Unsupported, word: "pid namespace"},
		{name: "nobody", asked: spec.Namespaces{Net: of("x")}, kind: fault.NotFound, word: "net namespace"},
		{name: "pod of a pod", asked: spec.Namespaces{Net: spec.OfPod}, kind: fault.Invalid, word: "not possible for a sandbox"},
		{name: "no pid", asked: spec.Namespaces{PID: spec.None}, kind: fault.Invalid, word: "pid"},
		{name: "user none", asked: spec.Namespaces{User: spec.None}, kind: fault.Invalid, word: "user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := namespace.Pod(tt.asked, peers)
			if tt.word != "" {
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.word) {
					t.Errorf("error %v, want %v with %q", err, tt.kind, tt.word)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			for _, k := range spec.Kinds() {
				want = want.With(k, want.Mode(k).Or(spec.Own))
			}
			if d := cmp.Diff(want, got.Modes); d != "" {
				t.Error(d)
			}
			if got.IDs != tt.ids || got.Fresh != tt.fresh {
				t.Errorf("ids %v, fresh %v", got.IDs, got.Fresh)
			}
		})
	}
}

func TestContainer(t *testing.T) {
	of := spec.OfContainer
	own := spec.Namespaces{Net: spec.Own, IPC: spec.Own, UTS: spec.Own, PID: spec.Own, User: spec.Own, Cgroup: spec.Own}
	hostUser := own.With("user", spec.Host)
	for _, tt := range []struct {
		name           string
		asked, sandbox spec.Namespaces
		ids            status.IDMapping
		want           spec.Namespaces // only kinds that are not the pod's
		kind           fault.Kind
		word           string
	}{
		{name: "defaults", sandbox: own, ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "shared pid", sandbox: own.With("pid", spec.OfPod), ids: mappingA, want: spec.Namespaces{Cgroup: spec.Own}},
		{name: "pid not shared", asked: spec.Namespaces{PID: spec.OfPod}, sandbox: own, ids: mappingA, kind: fault.Invalid, word: "does not share"},
		{name: "host cgroup of the pod", sandbox: own.With("cgroup", spec.Host), ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Host}},
		{name: "own net", asked: spec.Namespaces{Net: spec.Own}, sandbox: own, ids: mappingA, want: spec.Namespaces{Net: spec.Own, PID: spec.Own, Cgroup: spec.Own}},
		{name: "user own is the pod's", asked: spec.Namespaces{User: spec.Own}, sandbox: own, ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "user own, pod host", asked: spec.Namespaces{User: spec.Own}, sandbox: hostUser, kind: fault.Unsupported, word: "ask for it at the pod"},
		{name: "user host, pod own", asked: spec.Namespaces{User: spec.Host}, sandbox: own, ids: mappingA, kind: fault.Unsupported, word: "ask for it at the pod"},
		{name: "host net in own user", asked: spec.Namespaces{Net: spec.Host}, sandbox: own, ids: mappingA, kind: fault.Unsupported, word: "net namespace"},
		{name: "host net", asked: spec.Namespaces{Net: spec.Host}, sandbox: hostUser, want: spec.Namespaces{Net: spec.Host, PID: spec.Own, Cgroup: spec.Own}},
		{name: "host net of a host net pod", asked: spec.Namespaces{Net: spec.Host}, sandbox: hostUser.With("net", spec.Host), want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "joins a neighbour", asked: spec.Namespaces{PID: of("a")}, sandbox: own, ids: mappingA, want: spec.Namespaces{PID: of("a"), Cgroup: spec.Own}},
		{name: "joins a stranger", asked: spec.Namespaces{PID: of("b")}, sandbox: own, ids: mappingA, kind: fault.Unsupported, word: "another user namespace"},
		{name: "joins from the host's", asked: spec.Namespaces{UTS: of("b")}, sandbox: hostUser, want: spec.Namespaces{UTS: of("b"), PID: spec.Own, Cgroup: spec.Own}},
		{name: "user of a neighbour", asked: spec.Namespaces{User: of("a2")}, sandbox: own, ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "user of a stranger", asked: spec.Namespaces{User: of("b")}, sandbox: hostUser, kind: fault.Unsupported, word: "user namespace"},
		{name: "pid none", asked: spec.Namespaces{PID: spec.None}, sandbox: own, ids: mappingA, kind: fault.Invalid, word: "pid"},
		{name: "nonsense", asked: spec.Namespaces{Net: "x"}, sandbox: own, ids: mappingA, kind: fault.Invalid, word: "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := namespace.Container(tt.asked, tt.sandbox, tt.ids, peers)
			if tt.word != "" {
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.word) {
					t.Errorf("error %v, want %v with %q", err, tt.kind, tt.word)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			for _, k := range spec.Kinds() {
				want = want.With(k, want.Mode(k).Or(spec.OfPod))
			}
			if d := cmp.Diff(want, got.Modes); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSysctls(t *testing.T) {
	own := spec.Namespaces{Net: spec.Own, IPC: spec.Own}
	for _, tt := range []struct {
		name, value string
		sandbox     spec.Namespaces
		word        string
	}{
		{"net.ipv4.ip_unprivileged_port_start", "0", own, ""},
		{"kernel.shm_rmid_forced", "1", own, ""},
		{"kernel.sem", "1 2 3 4", own, ""},
		{"fs.mqueue.msg_max", "9", own, ""},
		{"net.core.somaxconn", "1", own.With("net", spec.Host), "does not have a net namespace"},
		{"net.core.somaxconn", "1", own.With("net", spec.OfContainer("x")), "somebody else's"},
		{"kernel.msgmax", "1", own.With("ipc", spec.Host), "does not have a ipc namespace"},
		{"kernel.core_pattern", "|/x", own, "would change the host"},
		{"kernel.shmxyz", "1", own, "would change the host"},
		{"kernel.hostname", "x", own, "hostname"},
		{"net..x", "1", own, "not a sysctl"},
		{"net.ipv4/../../kernel.core_pattern", "1", own, "not a sysctl"},
		{"net.x", "1\n2", own, "new line"},
		{"kernel.shmmax", "1+\x00", own, "NUL"}, // CVE-2022-0532's way: one value smuggles another
	} {
		err := namespace.Sysctls(map[string]string{tt.name: tt.value}, tt.sandbox)
		if (err == nil) != (tt.word == "") || err != nil && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.word)) {
			t.Errorf("%q=%q: %v, want %q", tt.name, tt.value, err, tt.word)
		}
	}
}
