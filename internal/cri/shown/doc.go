// Package shown translates what is (packages status and image) into CRI messages. It is
// pure: snapshots in, messages out.
package shown

import (
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

// SandboxState is the CRI's word; a sandbox that is not ready yet, or no more, is
// NOTREADY.
func SandboxState(s lifecycle.PodState) cri.PodSandboxState {
	if s == lifecycle.PodReady {
		return cri.PodSandboxState_SANDBOX_READY
	}
	return cri.PodSandboxState_SANDBOX_NOTREADY
}

// Sandbox is a pod in a list.
func Sandbox(p status.Pod) *cri.PodSandbox {
	return &cri.PodSandbox{
		Id: p.ID, Metadata: sandboxMetadata(p), State: SandboxState(p.State), CreatedAt: p.CreatedAt.UnixNano(),
		Labels: p.Spec.Labels, Annotations: p.Spec.Annotations, RuntimeHandler: p.Spec.Handler,
	}
}

func sandboxMetadata(p status.Pod) *cri.PodSandboxMetadata {
	return &cri.PodSandboxMetadata{Name: p.Name, Namespace: p.Namespace, Uid: p.Spec.UID, Attempt: p.Spec.Attempt}
}

// SandboxStatus is a pod alone.
func SandboxStatus(p status.Pod) *cri.PodSandboxStatus {
	return &cri.PodSandboxStatus{
		Id: p.ID, Metadata: sandboxMetadata(p), State: SandboxState(p.State), CreatedAt: p.CreatedAt.UnixNano(),
		Network: network(p.IPs), Linux: &cri.LinuxPodSandboxStatus{Namespaces: &cri.Namespace{Options: namespaces(p.Spec)}},
		Labels: p.Spec.Labels, Annotations: p.Spec.Annotations, RuntimeHandler: p.Spec.Handler,
	}
}

func network(ips []string) *cri.PodSandboxNetworkStatus {
	n := &cri.PodSandboxNetworkStatus{}
	if len(ips) == 0 {
		return n
	}
	n.Ip = ips[0]
	for _, ip := range ips[1:] {
		n.AdditionalIps = append(n.AdditionalIps, &cri.PodIP{Ip: ip})
	}
	return n
}

// namespaces are the modes that were asked for.
func namespaces(p spec.Pod) *cri.NamespaceOption {
	n := p.Namespaces
	out := &cri.NamespaceOption{
		Network: mode(n.Net), Ipc: mode(n.IPC), Pid: mode(n.PID),
		UsernsOptions: &cri.UserNamespace{Mode: cri.NamespaceMode_NODE},
	}
	if p.UserIDs.Count > 0 {
		ids := []*cri.IDMapping{{HostId: p.UserIDs.First, Length: p.UserIDs.Count}}
		out.UsernsOptions = &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: ids, Gids: ids}
	}
	return out
}

func mode(m spec.Mode) cri.NamespaceMode {
	switch m {
	case spec.Host:
		return cri.NamespaceMode_NODE
	case spec.Own:
		return cri.NamespaceMode_CONTAINER
	}
	return cri.NamespaceMode_POD
}

func nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
