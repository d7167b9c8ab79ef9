package ocicli

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/plan/ocispec"
	"carob/internal/plan/seccomp"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/initstage"
)

// printFeatures prints the specification's features document.
func printFeatures(_ context.Context, a *app) (int, error) {
	on, off := true, false
	controllers, mode, err := a.runtime.Controllers()
	if err != nil && !fault.Is(err, fault.Unsupported) {
		return 0, err
	}
	v1, v2, rdma := mode == cgroup.ModeV1 || mode == cgroup.ModeHybrid, mode == cgroup.ModeV2, slices.Contains(controllers, "rdma")
	_, err = os.Stat("/sys/module/apparmor")
	armor := err == nil
	_, err = os.Stat("/run/systemd/system")
	systemd := err == nil && v2
	var capabilities []string
	for _, c := range initstage.Capabilities() {
		capabilities = append(capabilities, "CAP_"+c)
	}
	f := features.Features{
		OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version, MountOptions: mountopt.Names(),
		Hooks: []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		Linux: &features.Linux{
			Namespaces:   []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
			Capabilities: capabilities,
			Cgroup:       &features.Cgroup{V1: &v1, V2: &v2, Systemd: &systemd, SystemdUser: &off, Rdma: &rdma},
			Seccomp: &features.Seccomp{
				Enabled: &on, Actions: seccomp.Actions(), Operators: seccomp.Operators(), Archs: seccomp.Archs(),
				KnownFlags: seccomp.Flags(), SupportedFlags: seccomp.Flags(),
			},
			Apparmor: &features.Apparmor{Enabled: &armor}, Selinux: &features.Selinux{Enabled: &on},
			IntelRdt: &features.IntelRdt{Enabled: &on, Schemata: &on, Monitoring: &on}, NetDevices: &features.NetDevices{Enabled: &on},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &on}},
			MemoryPolicy:    &features.MemoryPolicy{Modes: initstage.MemoryModes(), Flags: initstage.MemoryFlags()},
		},
	}
	return 0, a.print(f)
}

// spec writes a configuration to begin with.
func spec(_ context.Context, a *app) (int, error) {
	config := ocispec.Default()
	if a.args.has("rootless") {
		ocispec.Rootless(config, os.Geteuid(), os.Getegid())
	}
	text, err := json.MarshalIndent(config, "", "\t")
	if err != nil {
		return 0, err
	}
	name := filepath.Join(a.args.text("bundle"), "config.json")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return 0, fault.New(fault.Exists, "File "+name+" exists. Remove it first")
	}
	if err != nil {
		return 0, err
	}
	_, err = f.Write(append(text, '\n'))
	return 0, errors.Join(err, f.Close())
}
