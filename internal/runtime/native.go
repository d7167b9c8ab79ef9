package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"carob/internal/pod"
	"carob/internal/roots"
	"carob/internal/runtime/supervisor"
	"carob/internal/spec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
	prepare "carob/internal/world"
)

// Native is carob's own handler. New makes one; Close lets go of the supervisors,
// which go on. What does not depend on how a container is made, its Pool does.
type Native struct {
	*supervisor.Pool
	layout  *cgroup.Layout
	runDir  string
	lastCap int
	filters prepare.Filters
	users   *roots.Users
}

// Config is what a Native needs.
type Config struct {
	// Supervisor is the carob-pod binary; it is read once.
	Supervisor io.Reader
	Layout     *cgroup.Layout
	// Users map the mounts of volumes.
	Users *roots.Users
	// RunDir is /run/carob: bind mounts from below it are carob's own files.
	RunDir string
	// StartScope has the service manager make the scope that the path of a pod's cgroup
	// names around a process, and returns when it is there.
	StartScope func(ctx context.Context, group string, pid int) error
	// Log is told of logs of containers that are not rotated; nil tells nobody.
	Log *slog.Logger
}

// New returns a handler. It starts nothing.
func New(c Config) (*Native, error) {
	pool, err := supervisor.New(supervisor.Config{Binary: c.Supervisor, Layout: c.Layout, StartScope: c.StartScope, Log: c.Log})
	if err != nil {
		return nil, err
	}
	return &Native{
		Pool: pool, layout: c.Layout, users: c.Users, runDir: c.RunDir, lastCap: supervisor.LastCap(),
		filters: prepare.Filters{NoX32: initstage.NoX32()},
	}, nil
}

// RunSandbox starts a supervisor in the sandbox's namespaces, with a root of its own
// that holds nothing of the host's, or takes the one that was prepared.
func (n *Native) RunSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error) {
	named := initstage.Named{Sysctls: s.Sysctls}
	if s.Namespaces.UTS == spec.Own {
		named.Hostname = s.Hostname
	}
	sb, err := n.Take(ctx, s, named.Program())
	if err == nil && sb == nil {
		sb, err = n.start(ctx, s, named, false)
	}
	if err != nil {
		return pod.SandboxState{}, err
	}
	return sb.State(), nil
}

// PrepareSandbox does what RunSandbox does, but for the hostname and sysctls, which
// are not known yet.
func (n *Native) PrepareSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return pod.SandboxState{}, err
	}
	sb, err := n.start(ctx, s, initstage.Named{}, true)
	if err != nil {
		return pod.SandboxState{}, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return sb.State(), nil
}

func (n *Native) start(ctx context.Context, s pod.Sandbox, named initstage.Named, ahead bool) (*supervisor.Sandbox, error) {
	var files fileList
	defer files.close()
	root, err := mount.Empty(initstage.SandboxDirs(), "")
	if err != nil {
		return nil, err
	}
	files.add(root)
	w := initstage.Sandbox{
		Loopback: s.Namespaces.Net == spec.Own || s.Namespaces.Net == spec.None,
		ShmSize:  s.ShmSize, Named: named,
	}
	if s.IDs.Size > 0 {
		// A daemon that may not make one has what it sees, which is enough on most hosts.
		if proc, err := mount.New("proc", mount.NoSuid|mount.NoDev|mount.NoExec); err == nil {
			files.add(proc)
			w.Proc = true
		}
	}
	if w.ForeignShm, err = shm(&files, s); err != nil {
		return nil, fmt.Errorf("/dev/shm: %w", err)
	}
	return n.Start(ctx, s, supervisor.World{Program: w.Program(), Files: files.files, Ahead: ahead})
}

// shm finds the shared memory file system that goes with an IPC namespace that is
// not the sandbox's own: the host's, or the one a joined container sees.
func shm(files *fileList, s pod.Sandbox) (foreign bool, err error) {
	var f *os.File
	switch pid, joined := s.Join["ipc"]; {
	case joined:
		f, err = mount.CloneFrom(pid, "/dev/shm")
	case s.Namespaces.IPC == spec.Host:
		f, err = mount.Clone(nil, "/dev/shm", false)
	default:
		return false, nil
	}
	if err != nil {
		return false, err
	}
	files.add(f)
	return true, nil
}
