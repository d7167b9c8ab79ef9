package cri

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/asked"
)

const (
	// apiVersion is what the kubelet calls its own side of the API.
	apiVersion = "0.1.0"
	criVersion = "v1"
	name       = "carob"
)

// about tells of the runtime itself.
type about struct {
	s     Services
	since time.Time
}

// Version names the runtime.
func (a *about) Version(context.Context, *cri.VersionRequest) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: apiVersion, RuntimeName: name, RuntimeVersion: semantic(a.s.Version), RuntimeApiVersion: criVersion}, nil
}

// semantic gives the name of a build the form that the CRI asks for: of any other a
// kubelet makes "carob://Unknown".
func semantic(version string) string {
	if major, _, ok := strings.Cut(strings.TrimPrefix(version, "v"), "."); ok && strings.Trim(major, "0123456789") == "" {
		return version
	}
	return "0.0.0+" + version
}

// Status tells whether pods can run and be connected, and what the handlers can do.
func (a *about) Status(ctx context.Context, r *cri.StatusRequest) (*cri.StatusResponse, error) {
	network := &cri.RuntimeCondition{Type: cri.NetworkReady, Status: true}
	if err := a.s.Network(ctx); err != nil {
		network.Status, network.Reason, network.Message = false, "NetworkNotReady", err.Error()
	}
	features := &cri.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true, UserNamespaces: a.s.Host.Facts.UserNamespaces}
	handlers := []*cri.RuntimeHandler{{Features: features}, {Name: asked.HandlerNative, Features: features}}
	for _, h := range a.s.Handlers() {
		handlers = append(handlers, &cri.RuntimeHandler{Name: h.Name, Features: &cri.RuntimeHandlerFeatures{
			RecursiveReadOnlyMounts: h.RecursiveReadOnlyMounts, UserNamespaces: h.UserNamespaces,
		}})
	}
	out := &cri.StatusResponse{
		Status:          &cri.RuntimeStatus{Conditions: []*cri.RuntimeCondition{{Type: cri.RuntimeReady, Status: true}, network}},
		RuntimeHandlers: handlers,
		Features:        &cri.RuntimeFeatures{SupplementalGroupsPolicy: true, MountOptions: true},
	}
	if !r.GetVerbose() {
		return out, nil
	}
	facts := a.s.Host.Facts
	text, err := json.Marshal(map[string]any{
		"version": a.s.Version, "since": a.since, "root": a.s.Root, "kernel": facts.KernelRelease, "cgroups": facts.CgroupMode,
		"cgroupDriver": a.driver().String(), "apparmor": facts.AppArmor, "selinux": facts.SELinux, "seccomp": facts.Seccomp(), "swapLimits": facts.SwapAccounting,
	})
	out.Info = map[string]string{"config": string(text)}
	return out, err
}

// RuntimeConfig tells the kubelet how to name cgroups.
func (a *about) RuntimeConfig(context.Context, *cri.RuntimeConfigRequest) (*cri.RuntimeConfigResponse, error) {
	return &cri.RuntimeConfigResponse{Linux: &cri.LinuxRuntimeConfiguration{CgroupDriver: a.driver()}}, nil
}

func (a *about) driver() cri.CgroupDriver {
	if a.s.SystemdCgroups {
		return cri.CgroupDriver_SYSTEMD
	}
	return cri.CgroupDriver_CGROUPFS
}

// UpdateRuntimeConfig takes the node's pod CIDR, which this runtime's networks do not
// follow: the kubelet tells it to every runtime, and an error would only be logged.
func (a *about) UpdateRuntimeConfig(context.Context, *cri.UpdateRuntimeConfigRequest) (*cri.UpdateRuntimeConfigResponse, error) {
	return &cri.UpdateRuntimeConfigResponse{}, nil
}
