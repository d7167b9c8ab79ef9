package oci

import (
	"path"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/spec"
)

// namespaces lists what the container gets freshly; what it inherits from the
// sandbox or joins is not here.
func (p *planner) namespaces() []specs.LinuxNamespace {
	n := p.r.Namespaces
	out := make([]specs.LinuxNamespace, 0, 7)
	out = append(out, specs.LinuxNamespace{Type: specs.MountNamespace})
	for _, k := range [...]struct {
		mode spec.Mode
		kind specs.LinuxNamespaceType
	}{
		{n.PID, specs.PIDNamespace},
		{n.Cgroup, specs.CgroupNamespace},
		{n.Net, specs.NetworkNamespace},
		{n.IPC, specs.IPCNamespace},
		{n.UTS, specs.UTSNamespace},
		{n.User, specs.UserNamespace},
	} {
		if k.mode == spec.Own || k.mode == spec.None {
			out = append(out, specs.LinuxNamespace{Type: k.kind})
		}
	}
	return out
}

// idMappings is the mapping of the pod's user namespace, nil with the host's. Each
// call makes a slice of its own.
func (p *planner) idMappings() []specs.LinuxIDMapping {
	if !p.mapped {
		return nil
	}
	return []specs.LinuxIDMapping{{ContainerID: 0, HostID: p.r.IDs.HostID, Size: p.r.IDs.Size}}
}

// maskedPaths is Docker's list. Paths that a kernel does not have are skipped when
// it is applied.
func (p *planner) maskedPaths() []string {
	out := []string{
		"/proc/acpi",
		"/proc/asound",
		"/proc/interrupts", // a keystroke clock: GHSA-6fw5-f8r9-fgfm
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/sched_debug",
		"/proc/scsi",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/sys/devices/virtual/powercap", // a power meter: GHSA-jq35-85cj-fj4p
		"/sys/firmware",
	}
	for cpu := range p.r.Facts.CPUs { // GHSA-6fw5-f8r9-fgfm again
		out = append(out, "/sys/devices/system/cpu/cpu"+strconv.Itoa(cpu)+"/thermal_throttle")
	}
	return out
}

// checkKernelPaths refuses what is no path inside the container.
func checkKernelPaths(k *spec.KernelPaths) error {
	for _, p := range slices.Concat(k.Masked, k.ReadOnly) {
		if !path.IsAbs(p) || !plainPath(p) || path.Clean(p) == "/" {
			return fault.New(fault.Invalid, "masked or read-only path \""+clip(p)+"\" is not an absolute path below the root")
		}
	}
	return nil
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

// rootPropagation lets mounts that ask for it exchange events with the host.
func rootPropagation(mounts []specs.Mount) string {
	out := ""
	for _, m := range mounts {
		for _, o := range m.Options {
			switch o {
			case "shared", "rshared":
				return "shared"
			case "slave", "rslave":
				out = "rslave"
			}
		}
	}
	return out
}
