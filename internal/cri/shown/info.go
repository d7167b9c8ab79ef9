package shown

import (
	"encoding/json"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/status"
)

// seen are the namespaces of a process: where each can be entered, and which it is.
func seen(pid int, namespaces map[string]string) []namespace {
	out := make([]namespace, 0, len(namespaces))
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		if id, ok := namespaces[kind]; ok {
			out = append(out, namespace{Type: kind, Path: "/proc/" + strconv.Itoa(pid) + "/ns/" + kind, Is: id})
		}
	}
	return out
}

type namespace struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Is   string `json:"is"`
}

// SandboxInfo is the verbose part of a sandbox's status.
func SandboxInfo(p status.Pod, o status.Observed) (map[string]string, error) {
	return info(map[string]any{
		"pid": p.Pid, "cgroup": p.Cgroup, "namespaces": seen(p.Pid, o.Namespaces), "asked": p.Spec, "differences": o.Differences,
	})
}

// ContainerInfo is the verbose part of a container's status. runtimeSpec is what crictl
// looks into: its namespaces show where the process's are.
func ContainerInfo(c status.Container, o status.Observed, spec *specs.Spec) (map[string]string, error) {
	at := seen(c.Pid, o.Namespaces)
	return info(map[string]any{
		"pid": c.Pid, "sandboxID": c.PodID, "cgroup": c.Cgroup, "namespaces": at, "asked": c.Spec, "observed": o, "runtimeSpec": placed(spec, at),
	})
}

// placed is the specification with the paths of the namespaces there are.
func placed(spec *specs.Spec, at []namespace) *specs.Spec {
	if spec == nil || spec.Linux == nil || len(at) == 0 {
		return spec
	}
	types := map[string]specs.LinuxNamespaceType{"mnt": specs.MountNamespace, "net": specs.NetworkNamespace}
	out, linux := *spec, *spec.Linux
	linux.Namespaces = nil
	for _, n := range at {
		kind, other := types[n.Type]
		if !other {
			kind = specs.LinuxNamespaceType(n.Type)
		}
		linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: n.Path})
	}
	out.Linux = &linux
	return &out
}

func info(v any) (map[string]string, error) {
	text, err := json.Marshal(v)
	return map[string]string{"info": string(text)}, err
}
