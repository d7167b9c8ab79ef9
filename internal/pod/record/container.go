package record

import (
	"cmp"
	"fmt"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/image"
	"carob/internal/lifecycle"
	"carob/internal/plan/ident"
	"carob/internal/plan/oci"
	"carob/internal/spec"
	"carob/internal/status"
)

// Container is what is stored of a container.
type Container struct {
	Status     status.Container  `json:"status"`
	Image      v1.ImageConfig    `json:"image"`
	Rootfs     image.Rootfs      `json:"rootfs"`
	Namespaces spec.Namespaces   `json:"namespaces"`
	Peers      map[string]string `json:"peers,omitempty"`
	// Volumes is mount target → directory; Anonymous are the directories among them
	// that go with the container.
	Volumes   map[string]string `json:"volumes,omitempty"`
	Anonymous []string          `json:"anonymous,omitempty"`
	Identity  ident.Identity    `json:"identity,omitzero"`
	// Devices are the host's nodes with the paths they get.
	Devices []specs.LinuxDevice `json:"devices,omitempty"`
	// Resume is the checkpoint archive that the next start goes on from, "" for none.
	Resume string `json:"resume,omitempty"`
	// Creating is written first and cleared when the container is complete;
	// Starting is set while a start is under way; Removing as for a pod.
	Creating bool `json:"creating,omitempty"`
	Starting bool `json:"starting,omitempty"`
	Removing bool `json:"removing,omitempty"`
	// Stopped says that somebody asked for the end: no restart.
	Stopped bool `json:"stopped,omitempty"`
	// Forgotten says that the sandbox has no record of the ended process any more.
	Forgotten bool `json:"forgotten,omitempty"`
	// Since is when the present or last process was asked for.
	Since time.Time `json:"since,omitzero"`
}

// Reasons of an end that is not the process's own: status.Container.Reason.
const (
	StartError = "StartError"
	Lost       = "Lost"
)

// Move goes to the state that an event leads to; Conflict when it leads nowhere.
func (r *Container) Move(ev lifecycle.Event) error {
	next, err := lifecycle.NextContainer(r.Status.State, ev)
	if err != nil {
		return fmt.Errorf("container %s: %w", r.Status.Name, err)
	}
	r.Status.State = next
	return nil
}

// Ask notes that a start begins at a time. A fresh one is by hand: it begins a new count of
// restarts, and one that fails is not repeated.
func (r *Container) Ask(fresh bool, at time.Time) {
	r.Starting, r.Forgotten, r.Since = true, false, at
	r.Stopped = fresh // until it runs
	if fresh {
		r.Status.RestartCount = 0
	} else {
		r.Status.RestartCount++
	}
}

// Start notes that the process runs.
func (r *Container) Start(pid int) error {
	r.Starting, r.Stopped, r.Resume = false, false, ""
	s := &r.Status
	s.Pid, s.Paused = pid, false
	s.StartedAt, s.FinishedAt = r.Since, time.Time{} // its end may have come before now
	s.ExitCode, s.Reason, s.Message, s.OOMKilled = 0, "", "", false
	return r.Move(lifecycle.Start)
}

// Fail notes that a start has not succeeded; the code is what `run` ends with.
func (r *Container) Fail(code int, why string) {
	r.Starting, r.Forgotten = false, true
	r.Status.ExitCode, r.Status.Reason, r.Status.Message = code, StartError, why
}

// Exit is the end of the process.
func (r *Container) Exit(x status.Exit, reason string) error {
	s := &r.Status
	s.Pid, s.Paused = 0, false
	s.ExitCode, s.OOMKilled, s.Reason, s.FinishedAt = x.Code, x.OOMKilled, reason, x.At
	return r.Move(lifecycle.Exit)
}

// Lose is an end that nobody saw.
func (r *Container) Lose(x status.Exit) error {
	r.Forgotten = true
	if err := r.Exit(x, Lost); err != nil {
		return err
	}
	r.Status.Message = "the sandbox ended, the exit code is not known"
	return nil
}

// RestartDue decides whether an exited container is started again. Stopped ones are
// not: always and unless-stopped differ in Docker only after a restart of its
// daemon, which for carob is no event in a container's life.
func (r *Container) RestartDue() bool {
	if r.Stopped || r.Removing || r.Status.State != lifecycle.ContainerExited {
		return false
	}
	switch p := r.Status.Spec.Restart; p.Policy {
	case spec.RestartAlways, spec.RestartUnlessStopped:
		return true
	case spec.RestartOnFailure:
		return r.Status.ExitCode != 0 && (p.MaxRetries == 0 || r.Status.RestartCount < p.MaxRetries)
	}
	return false
}

// EndSignal is the signal that asks the container to end.
func (r *Container) EndSignal() int {
	const sigTerm = 15
	sig, err := oci.StopSignal(cmp.Or(r.Status.Spec.StopSignal, r.Image.StopSignal))
	if err != nil { // the image's word, which nobody checked
		return sigTerm
	}
	return sig
}

// User is who the process is to be, in the words of the request or else the image's.
func (r *Container) User() string { return cmp.Or(r.Status.Spec.User, r.Image.User) }

// defaultGrace is Docker's and Kubernetes' time between SIGTERM and SIGKILL.
const defaultGrace = 10 * time.Second

// Grace is how long a stop waits: what the caller says, else what was asked for.
func Grace(timeout *time.Duration, seconds *int) time.Duration {
	switch {
	case timeout != nil:
		return max(*timeout, 0)
	case seconds != nil:
		return time.Duration(max(*seconds, 0)) * time.Second
	}
	return defaultGrace
}
