package kube

import (
	"context"
	"io"
	"time"

	"carob/internal/spec"
	"carob/internal/status"
)

// The interfaces of this file are what applying needs of others. A ref is an ID, or
// for pods "namespace/name". Errors carry fault kinds; NotFound of a stop or remove
// counts as done.

// Pods are the engine's pods.
type Pods interface {
	// RunPod makes the sandbox; an error has left nothing behind.
	RunPod(ctx context.Context, p spec.Pod) (status.Pod, error)
	// StopPod ends the sandbox and every container in it.
	StopPod(ctx context.Context, ref string, timeout *time.Duration) error
	// RemovePod removes a stopped pod with its containers.
	RemovePod(ctx context.Context, ref string) error
	Pod(ref string) (status.Pod, error)
}

// Containers are the engine's containers.
type Containers interface {
	CreateContainer(ctx context.Context, pod string, c spec.Container) (status.Container, error)
	// StartContainer returns when the command has been executed.
	StartContainer(ctx context.Context, ref string) error
	// StopContainer asks, waits for timeout (nil: the container's own), kills; its
	// restart policy does not apply any more.
	StopContainer(ctx context.Context, ref string, timeout *time.Duration) error
	// RemoveContainer removes a container that has ended.
	RemoveContainer(ctx context.Context, ref string) error
	// WaitContainer waits until the container does not run.
	WaitContainer(ctx context.Context, ref string) (status.Exit, error)
	Container(ref string) (status.Container, error)
}

// Engine is the part of the engine that manifests are applied with.
type Engine interface {
	Pods
	Containers
}

// Mounts puts memory file systems on directories of the host, and removes what volumes hold.
type Mounts interface {
	// Tmpfs mounts one of at most size bytes, 0 for the kernel's default.
	Tmpfs(dir string, size int64) error
	// Unmount takes off what is mounted on dir; nothing there is no error.
	Unmount(dir string) error
	// Remove removes a tree that containers have written, but nothing that is mounted in it,
	// which is a Conflict.
	Remove(dir string) error
}

// Logs reads containers' log files.
type Logs interface {
	// Tail writes the last n lines of both streams to w.
	Tail(ctx context.Context, path string, n int, w io.Writer) error
}
