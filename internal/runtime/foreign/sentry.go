package foreign

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/plan/bundle"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/spec"
	"carob/internal/status"
)

const (
	// sandboxGroup is the cgroup of a gVisor sandbox, below the pod's.
	sandboxGroup = "/sandbox"
	// insidePid ends the name of the file with an exec's pid inside of the sandbox.
	insidePid = ".inside"
	// sandboxID is the ID of a sandbox among the supervisor's processes.
	sandboxID = "sandbox"
	// waiting begins the ID of the process that waits for another.
	waiting = "wait-"
)

// sentry is a pod whose runtime is gVisor's.
type sentry struct{ *box }

// begin sees to it that a gVisor sandbox is there, and returns what tells the runtime
// which container goes into it. Other runtimes have none.
func (b sentry) begin(ctx context.Context, f bundle.Features, p pod.Process) (map[string]string, error) {
	if !f.Sentry {
		return nil, nil
	}
	b.mu.Lock() // other containers wait for the sandbox
	defer b.mu.Unlock()
	switch {
	case b.first() == short(p.ID): // the container's next run
		return nil, nil
	case b.first() == "" && b.Solo:
		b.begun.Store(short(p.ID))
		return nil, nil
	case b.first() == "":
		if err := b.pause(ctx); err != nil {
			return nil, fmt.Errorf("sandbox: %w", err)
		}
		b.begun.Store(short(b.PodID))
	}
	return bundle.ContainerAnnotations(b.first()), nil
}

// pause starts the sandbox with a container that does nothing.
func (b sentry) pause(ctx context.Context) error {
	dir := b.bundle(b.PodID)
	if err := os.MkdirAll(filepath.Join(dir, "rootfs"), 0o755); err != nil {
		return err
	}
	group := b.Cgroup + sandboxGroup
	if _, err := b.h.Layout.Create(group, nil); err != nil && !fault.Is(err, fault.Exists) {
		return err
	}
	s := bundle.Sandbox(b.h.Pause, map[string]string{
		"net": bundle.NamespacePath(b.sb.Pid(), "net"), "ipc": bundle.NamespacePath(b.sb.Pid(), "ipc"),
		"uts": bundle.NamespacePath(b.sb.Pid(), "uts"),
	}, group)
	s.Annotations, s.Hostname = bundle.SandboxAnnotations(), b.Hostname
	if err := writeJSON(filepath.Join(dir, "config.json"), s); err != nil {
		return err
	}
	c := command{name: "run", dir: dir, args: []string{"run", "--detach", "--bundle", dir, "--pid-file", filepath.Join(dir, pidFile), short(b.PodID)}}
	helper, log := b.program(c)
	defer os.Remove(log)
	_, err := b.sb.Spawn(ctx, supervisor.Spawn{
		Process: pod.Process{PodID: b.PodID, ID: sandboxID}, Program: helper.Program(), Helper: true, Ended: nobody,
	})
	if err != nil {
		return b.refused(c, log, err)
	}
	pid, err := readPid(filepath.Join(dir, pidFile))
	if err == nil {
		err = b.sb.Adopt(ctx, sandboxID, supervisor.Child{Pid: pid})
	}
	return err
}

// nobody is told of the end of a sandbox: those who wait for its containers are.
func nobody(status.Exit) {}

// isChild reports whether a container's first process is one of the host's. Of a gVisor
// sandbox's that is the sandbox itself, which ends as the container does that it has
// begun with.
func (b *box) isChild(id string, f bundle.Features) bool {
	return !f.Sentry || b.Solo && b.first() == short(id)
}

// network is where a gVisor sandbox has its network from: the host; a network stack of its
// own that takes over what it finds in the pod's namespace; or, where there is
// nothing but loopback, just that.
func (b *box) network() string {
	if b.Namespaces.Net == spec.Host {
		return "host"
	}
	devices, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(b.sb.Pid()), "net/dev"))
	const heading, loopback = 2, 1 // lines
	if err == nil && strings.Count(string(devices), "\n") <= heading+loopback {
		return "none"
	}
	return "sandbox"
}

// inside is the pid of an exec inside of its sandbox, and the container it is in.
func (b *box) inside(execID string) (container string, pid int, err error) {
	for _, name := range b.containers() {
		pid, err := readPid(filepath.Join(b.dir, name, short(execID)+insidePid))
		if err == nil {
			return name, pid, nil
		}
	}
	return "", 0, fault.New(fault.NotFound, "process "+short(execID)+": is none of the pod's")
}

// await starts the process that waits for a container's end and writes it to a file, so
// that it is known when the daemon is not there.
func (b sentry) await(ctx context.Context, id string) error {
	f, err := os.OpenFile(b.result(id), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	helper, _ := b.program(command{name: "wait", dir: b.bundle(id), args: []string{"wait", short(id)}})
	_, err = b.sb.Spawn(ctx, supervisor.Spawn{
		Process: pod.Process{PodID: b.PodID, ID: waiting + id, Streams: pod.Streams{Stdout: f}},
		Program: helper.Program(),
		Ended:   b.onEnd(id),
	})
	return err
}

// result is the file with how a container has ended.
func (b *box) result(id string) string { return filepath.Join(b.bundle(id), "end") }

// onEnd is what happens when the process that waits for id has ended.
func (b sentry) onEnd(id string) func(status.Exit) {
	return func(status.Exit) { b.h.waits.Go(func() { b.ended(id) }) }
}

// ended passes on how a process has ended; 255 when nobody knows, because its sandbox
// has gone.
func (b sentry) ended(id string) {
	var result struct{ ExitStatus *int }
	code := lost
	raw, err := os.ReadFile(b.result(id))
	if err == nil && json.Unmarshal(raw, &result) == nil && result.ExitStatus != nil {
		code = *result.ExitStatus & 0xff
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// A supervisor that does not answer has ended, or is asked again by the next daemon.
	_ = b.sb.End(ctx, id, uint32(code)<<8)
	_ = b.h.Pool.Forget(ctx, b.PodID, waiting+id)
}

// withWaiters adds the processes that wait for the known ones.
func withWaiters(known []pod.KnownProcess) []pod.KnownProcess {
	all := append(slices.Clone(known), pod.KnownProcess{ID: sandboxID})
	for _, k := range known {
		all = append(all, pod.KnownProcess{ID: waiting + k.ID})
	}
	return all
}

// Signal sends a signal to a process.
func (h *Handler) Signal(ctx context.Context, podID, processID string, signal int) error {
	f, err := h.Features()
	if err != nil {
		return err
	}
	b, err := h.find(podID)
	if err != nil {
		return err
	}
	// A sandbox that is being made, or hangs, hears no command.
	if !f.Sentry || signal == sigKill && b.isChild(processID, f) {
		return h.Pool.Signal(ctx, podID, processID, signal)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	name, args := short(processID), []string{"kill"}
	if _, err := os.Stat(b.bundle(processID)); err != nil {
		container, pid, err := b.inside(processID)
		if err != nil {
			return err
		}
		name, args = container, append(args, "--pid", strconv.Itoa(pid))
	}
	return b.run(ctx, command{name: "kill", dir: b.dir, args: append(args, name, strconv.Itoa(signal))})
}

// KillExec kills an exec and, where it has a group of its own, all it started.
func (h *Handler) KillExec(ctx context.Context, podID, execID string) error {
	err := h.Signal(ctx, podID, execID, sigKill)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return h.Pool.KillExec(ctx, podID, execID)
}
