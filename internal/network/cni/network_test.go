package cni

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/netns"
	"carob/internal/testenv"
)

func TestAttachAndDetach(t *testing.T) {
	for _, version := range []string{"0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) {
			b := newBench(t)
			b.conf("10-lan.conflist", b.list("lan", version, func(one, _ map[string]any) {
				if version == "0.2.0" { // it knows no interfaces
					one["result"] = map[string]any{"cniVersion": version, "ip4": map[string]any{"ip": "192.0.2.7/24", "gateway": "192.0.2.1"}}
				}
			}))
			a := b.attachment()
			got, err := b.net.Attach(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			want := []status.Connection{{Network: "lan", Interface: "eth0", MAC: "02:00:00:00:00:01", IPs: []string{"192.0.2.7"}, Gateways: []string{"192.0.2.1"}}}
			if version == "0.2.0" {
				want[0].MAC = ""
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if !netns.Pinned(filepath.Join(b.dir, "netns", "carob-"+a.PodID)) {
				t.Error("the namespace has no path")
			}
			for range 2 {
				if err := b.net.Detach(t.Context(), a.PodID, ""); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff([]string{"ADD one eth0 there", "ADD two eth0 there", "DEL two eth0 there", "DEL one eth0 there"}, b.lines()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFailedAdd: whatever a plugin does instead of connecting, all plugins hear DEL at
// once, and nothing is left.
func TestFailedAdd(t *testing.T) {
	for what, text := range map[string]string{
		"fail": "not today", "silent": "something", "garbage": "no result", "null": "no result", "flood": "prints more than", "hang": "not end in time",
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t)
			b.conf("10-lan.conflist", b.list("lan", "1.0.0", func(_, two map[string]any) { two["do"] = map[string]string{"ADD": what} }))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if what == "hang" {
				go func() { // whoever waits has gone, once the plugin runs
					for {
						text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
						if strings.Contains(string(text), "ADD two") || ctx.Err() != nil {
							cancel()
							return
						}
						time.Sleep(time.Millisecond)
					}
				}()
			}
			began := time.Now()
			_, err := b.net.Attach(ctx, b.attachment())
			if err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "network lan") {
				t.Errorf("%v, want %q", err, text)
			}
			if what == "fail" && !(fault.Is(err, fault.Unavailable) && strings.Contains(err.Error(), "the fake refuses")) {
				t.Errorf("%v is not told as the plugin told it", err)
			}
			if took := time.Since(began); took > testenv.Patience(20*time.Second) {
				t.Errorf("took %v", took)
			}
			want := []string{"ADD one eth0 there", "ADD two eth0 there", "DEL two eth0 there", "DEL one eth0 there"}
			if diff := cmp.Diff(want, b.lines()); diff != "" {
				t.Error(diff)
			}
			if err := b.net.Detach(t.Context(), b.attachment().PodID, ""); err != nil { // what the engine does
				t.Error(err)
			}
		})
	}
}

// TestChildOfPlugin: what a plugin leaves behind does not hold up the pod.
func TestChildOfPlugin(t *testing.T) {
	b := newBench(t)
	b.conf("10-lan.conflist", b.list("lan", "1.0.0", func(_, two map[string]any) { two["do"] = map[string]string{"ADD": "child"} }))
	t.Cleanup(func() {
		text, err := os.ReadFile(filepath.Join(b.dir, "log.pid"))
		if pid, perr := strconv.Atoi(string(text)); err != nil || perr != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
			t.Error("there was no child", err, perr)
		}
	})
	began := time.Now()
	if _, err := b.net.Attach(t.Context(), b.attachment()); err != nil {
		t.Logf("refused: %v", err) // its output did not end: both answers will do
	}
	if took := time.Since(began); took > testenv.Patience(20*time.Second) {
		t.Errorf("took %v", took)
	}
	if err := b.net.Detach(t.Context(), b.attachment().PodID, ""); err != nil {
		t.Error(err)
	}
}

// TestDetachFails: what could not be taken back is tried again, by the next daemon too,
// with the configuration it was made from, though that has gone and so has the namespace.
func TestDetachFails(t *testing.T) {
	b := newBench(t)
	orders := filepath.Join(b.dir, "orders")
	b.conf("10-lan.conflist", b.list("lan", "1.0.0", func(one, _ map[string]any) { one["file"] = orders }))
	a := b.attachment()
	if _, err := b.net.Attach(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(orders, []byte(`{"DEL":"fail"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.net.Detach(t.Context(), a.PodID, ""); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "network lan") {
			t.Fatal(err)
		}
	}
	b.lines()
	if err := b.net.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errorsOf(os.Remove(orders), os.Remove(filepath.Join(b.dir, "conf", "10-lan.conflist")), netns.Unpin(filepath.Join(b.dir, "netns", "carob-"+a.PodID))); err != nil {
		t.Fatal(err)
	}
	b.open()
	if !b.net.Has(a.PodID) {
		t.Fatal("forgotten")
	}
	if err := b.net.Keep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.net.work.Wait()
	if diff := cmp.Diff([]string{"DEL two eth0 gone", "DEL one eth0 gone"}, b.lines()); diff != "" {
		t.Error(diff)
	}
	if b.net.Has(a.PodID) {
		t.Error("still recorded")
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestKilledWhileAdding: a daemon that dies between two plugins leaves a record that names
// both.
func TestKilledWhileAdding(t *testing.T) {
	b := newBench(t)
	b.conf("10-lan.conflist", b.list("lan", "1.0.0", nil))
	a := b.attachment()
	if _, err := b.net.Attach(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	r, _ := b.net.ledger.get(a.PodID)
	r.Attachments[0].Made = false // as it was written before the first plugin ran
	if err := errorsOf(b.net.ledger.put(r), os.RemoveAll(filepath.Join(b.dir, "cache"))); err != nil {
		t.Fatal(err)
	}
	b.lines()
	b.net.Close()
	b.open()
	if err := b.net.Keep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.net.work.Wait()
	if diff := cmp.Diff([]string{"DEL two eth0 there", "DEL one eth0 there"}, b.lines()); diff != "" {
		t.Error(diff)
	}
}

// TestKeep: pods that go on are kept and checked; plugins that know GC are told.
func TestKeep(t *testing.T) {
	b := newBench(t)
	seen := filepath.Join(b.dir, "seen")
	b.conf("10-lan.conflist", b.list("lan", "1.1.0", func(one, _ map[string]any) { one["seen"] = seen }))
	a := b.attachment()
	if _, err := b.net.Attach(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	b.lines()
	b.net.Close()
	b.open()
	if err := b.net.Keep(t.Context(), []pod.Attachment{a}); err != nil {
		t.Fatal(err)
	}
	b.net.work.Wait()
	if text, err := os.ReadFile(seen + "GC"); err != nil || !strings.Contains(string(text), `"cni.dev/valid-attachments":[{"containerID":"0123abcd","ifname":"eth0"}]`) {
		t.Errorf("GC was told %s, %v", text, err)
	}
	want := []string{"GC one  gone", "GC two  gone", "CHECK one eth0 there", "CHECK two eth0 there"}
	if diff := cmp.Diff(want, b.lines()); diff != "" {
		t.Error(diff)
	}
	if err := b.net.Detach(t.Context(), a.PodID, ""); err != nil {
		t.Error(err)
	}
}

// TestNoneBesideGC: neither ADD nor DEL runs while GC does.
func TestNoneBesideGC(t *testing.T) {
	b := newBench(t)
	b.conf("10-lan.conflist", b.list("lan", "1.1.0", nil))
	a := b.attachment()
	for _, f := range []func() error{
		func() error { _, err := b.net.Attach(t.Context(), a); return err },
		func() error { return b.net.Detach(t.Context(), a.PodID, "") },
	} {
		done := make(chan error, 1)
		b.net.gate.Lock() // as GC does
		go func() { done <- f() }()
		select {
		case <-done:
			t.Error("did not wait")
		case <-time.After(50 * time.Millisecond): // it had the time
		}
		if lines := b.lines(); lines[0] != "" {
			t.Errorf("ran beside GC: %q", lines)
		}
		b.net.gate.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.lines()
	}
}

func TestReady(t *testing.T) {
	b := newBench(t)
	if err := b.net.Ready(t.Context()); !fault.Is(err, fault.Unavailable) || b.net.Configured() {
		t.Errorf("without a configuration: %v", err)
	}
	if _, err := b.net.Attach(t.Context(), b.attachment()); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "network not ready") {
		t.Errorf("a pod: %v", err)
	}
	orders := filepath.Join(b.dir, "orders")
	b.conf("10-lan.conflist", b.list("lan", "1.1.0", func(one, _ map[string]any) { one["file"] = orders }))
	if err := b.net.Ready(t.Context()); err != nil || !b.net.Configured() {
		t.Errorf("with one: %v", err)
	}
	if err := os.WriteFile(orders, []byte(`{"STATUS":"fail"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.net.Ready(t.Context()); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "not today") {
		t.Errorf("a plugin that objects: %v", err)
	}
	if diff := cmp.Diff([]string{"STATUS one  gone", "STATUS two  gone", "STATUS one  gone"}, b.lines()); diff != "" {
		t.Error(diff)
	}
}

// TestSeveral: networks by name and by the annotation, added and left one by one.
func TestSeveral(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"lan", "dmz", "storage"} {
		b.conf("10-"+name+".conflist", b.list(name, "1.0.0", nil))
	}
	a := b.attachment()
	a.Joins = []spec.Join{{Network: "lan"}}
	a.Spec.Annotations = map[string]string{networksAnnotation: "ns/storage, storage@fast"}
	links, err := b.net.Attach(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	a.Connections, a.Joins = links, []spec.Join{{Network: "dmz"}}
	more, err := b.net.Attach(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range append(links, more...) {
		got = append(got, l.Network+" "+l.Interface)
	}
	if diff := cmp.Diff([]string{"lan eth0", "storage net0", "storage fast", "dmz eth1"}, got); diff != "" {
		t.Error(diff)
	}
	b.lines()
	if err := b.net.Detach(t.Context(), a.PodID, "lan"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"DEL two eth0 there", "DEL one eth0 there"}, b.lines()); diff != "" {
		t.Error(diff)
	}
	// One that fails to be added leaves the others.
	a.Joins = []spec.Join{{Network: "lan"}}
	b.conf("10-lan.conflist", b.list("lan", "1.0.0", func(_, two map[string]any) { two["do"] = map[string]string{"ADD": "fail"} }))
	if _, err := b.net.Attach(t.Context(), a); err == nil {
		t.Error("attached")
	}
	b.lines()
	if err := b.net.Detach(t.Context(), a.PodID, ""); err != nil {
		t.Error(err)
	}
	want := []string{"DEL two eth1 there", "DEL one eth1 there", "DEL two fast there", "DEL one fast there", "DEL two net0 there", "DEL one net0 there"}
	if diff := cmp.Diff(want, b.lines()); diff != "" {
		t.Error(diff)
	}
}

// TestEarlierLife: what an earlier life of a pod left is taken back before the next one is
// connected, in its own namespace.
func TestEarlierLife(t *testing.T) {
	b := newBench(t)
	b.conf("10-lan.conflist", b.list("lan", "1.0.0", nil))
	a := b.attachment()
	for range 2 {
		if _, err := b.net.Attach(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.lines(); !slices.Equal(got[2:4], []string{"DEL two eth0 there", "DEL one eth0 there"}) || len(got) != 6 {
		t.Errorf("%v", got)
	}
	if err := b.net.Detach(t.Context(), a.PodID, ""); err != nil {
		t.Error(err)
	}
}

// TestWhatPluginsAreTold: capabilities to those that declare them, arguments to all.
func TestWhatPluginsAreTold(t *testing.T) {
	b := newBench(t)
	seen := filepath.Join(b.dir, "seen")
	b.conf("10-lan.conflist", b.list("lan", "1.0.0", func(_, two map[string]any) {
		two["seen"], two["capabilities"] = seen, map[string]bool{"portMappings": true, "bandwidth": true, "ips": true, "mac": true, "dns": true, "aliases": true}
	}))
	a := b.attachment()
	a.Joins = []spec.Join{{Network: "lan", IPs: []string{"192.0.2.9"}, MAC: "02:00:00:00:00:09", Aliases: []string{"db"}}}
	a.Spec.Ports = []spec.Port{{ContainerPort: 80, HostPort: 8080}, {ContainerPort: 53, HostPort: 53, HostIP: "127.0.0.1", Protocol: "UDP"}, {ContainerPort: 9}}
	a.Spec.Annotations = map[string]string{ingressAnnotation: "10M", egressAnnotation: "512k"}
	a.Spec.DNS = &spec.DNS{Nameservers: []string{"9.9.9.9"}}
	if _, err := b.net.Attach(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.net.Detach(t.Context(), a.PodID, ""); err != nil {
			t.Error(err)
		}
	}()
	text, err := os.ReadFile(seen + "ADD")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"},{"hostPort":53,"containerPort":53,"protocol":"udp","hostIP":"127.0.0.1"}]`,
		`"bandwidth":{"ingressRate":10000000,"ingressBurst":2147483647,"egressRate":512000,"egressBurst":2147483647}`,
		`"ips":["192.0.2.9"]`, `"mac":"02:00:00:00:00:09"`, `"aliases":["db"]`, `"dns":{"servers":["9.9.9.9"]}`,
		"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=foo;K8S_POD_INFRA_CONTAINER_ID=0123abcd;K8S_POD_UID=u-1",
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
}

// TestElsewhere: attachments of other runtimes are read from libcni's cache, and what else
// is there does not matter.
func TestElsewhere(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "results"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"lan-a-eth0": `{"kind":"cniCacheV1","containerId":"a","ifName":"eth0","networkName":"lan"}`,
		"dmz-b-eth0": `{"kind":"cniCacheV1","containerId":"b","ifName":"eth0","networkName":"dmz"}`,
		"broken":     `{`, "old": `{"cniVersion":"0.3.1"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "results", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]types.GCAttachment{{ContainerID: "a", IfName: "eth0"}}, elsewhere(dir, "lan")); diff != "" {
		t.Error(diff)
	}
	if got := elsewhere(dir+"/none", "lan"); got != nil {
		t.Errorf("%v", got)
	}
}
