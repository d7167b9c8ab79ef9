package check

import (
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/spec"
)

func TestImageVolumes(t *testing.T) {
	set := func(paths ...string) map[string]struct{} {
		m := map[string]struct{}{}
		for _, p := range paths {
			m[p] = struct{}{}
		}
		return m
	}
	got, err := ImageVolumes(set("/data", "/var/lib/", "/mine"), []spec.Mount{{Type: spec.Bind, Target: "/mine/"}})
	if err != nil || len(got) != 2 || got[0].Target != "/data" || got[1].Target != "/var/lib" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"data", "/", "/../etc", "/a/../..", "/proc", "/sys/fs", "/dev/x", "/a\x00", "", "/a\nb"} {
		if _, err := ImageVolumes(set(bad), nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var many []string
	for i := range maxImageVolumes + 1 {
		many = append(many, "/v"+strings.Repeat("x", i))
	}
	if _, err := ImageVolumes(set(many...), nil); !fault.Is(err, fault.Invalid) {
		t.Error("too many:", err)
	}
}

func TestChecks(t *testing.T) {
	negative := -1
	long := 1 << 40
	for name, p := range map[string]spec.Pod{
		"name":        {Name: "a/b"},
		"dash":        {Name: "-a"},
		"namespace":   {Name: "a", Namespace: "../x"},
		"uid":         {Name: "a", UID: "a/b"},
		"hostname":    {Name: "a", Hostname: strings.Repeat("x", 65)},
		"parent":      {Name: "a", CgroupParent: "/a/../.."},
		"relative":    {Name: "a", CgroupParent: "a"},
		"shm":         {Name: "a", ShmSize: -1},
		"stop":        {Name: "a", StopTimeout: &long},
		"long name":   {Name: strings.Repeat("x", 254)},
		"host alias":  {Name: "a", Hosts: []spec.HostAlias{{IP: "x"}}},
		"nameservers": {Name: "a", DNS: &spec.DNS{Nameservers: []string{"x"}}},
	} {
		if err := Pod(&p); !fault.Is(err, fault.Invalid) {
			t.Errorf("pod %s: %v", name, err)
		}
	}
	good := spec.Pod{Name: "a", StopTimeout: &negative, CgroupParent: "/kubepods.slice/x"}
	if err := Pod(&good); err != nil || good.Namespace != "default" {
		t.Error(err, good.Namespace)
	}
	for name, c := range map[string]spec.Container{
		"no image":   {},
		"name":       {Image: "i", Name: "a b"},
		"no log":     {Image: "i", Name: strings.Repeat("x", 201)},
		"signal":     {Image: "i", StopSignal: "NOPE"},
		"policy":     {Image: "i", Restart: spec.Restart{Policy: "sometimes"}},
		"retries":    {Image: "i", Restart: spec.Restart{Policy: spec.RestartAlways, MaxRetries: 3}},
		"rm":         {Image: "i", AutoRemove: true, Restart: spec.Restart{Policy: spec.RestartAlways}},
		"log":        {Image: "i", LogPath: "x/../y"},
		"cgroup":     {Image: "i", CgroupParent: "/a\n"},
		"hostname":   {Image: "i", Hostname: "a b"},
		"too long":   {Image: "i", StopTimeout: &long},
		"tiny":       {Image: "i", StorageSize: 1000},
		"below zero": {Image: "i", StorageSize: -1},
		"negative":   {Image: "i", Restart: spec.Restart{Policy: spec.RestartOnFailure, MaxRetries: -1}},
		"long host":  {Image: "i", Hostname: strings.Repeat("x", 65)},
	} {
		if err := Container(&c); !fault.Is(err, fault.Invalid) {
			t.Errorf("container %s: %v", name, err)
		}
	}
	if err := Container(&spec.Container{Image: "i", StopSignal: "0"}); err == nil || !strings.HasPrefix(err.Error(), "container: signal") {
		t.Errorf("without a name: %v", err)
	}
	if h := Hostname(strings.Repeat("x", 62) + "-y"); len(h) != 62 {
		t.Errorf("hostname %q", h)
	}
}
