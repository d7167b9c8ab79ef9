package foreign

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/bundle"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/sys/initstage"
)

// view is where a pod with a user namespace of its own sees its handler's directory, in
// the supervisor's mount namespace: a directory that every host has and whoever may
// enter, and that no runtime needs.
const view = "/dev/shm"

// hidden tells whether a directory is below view, where such a pod's supervisor and runtime
// would not find it.
func hidden(dir string) bool {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return strings.HasPrefix(filepath.Clean(dir)+"/", view+"/")
}

// usersFile, in the handler's directory, is where the pod's user namespace is mounted.
const usersFile = "user"

// ownUsers prepares a sandbox with a user namespace of its own, in dir. The supervisor
// stays in the host's, so that the runtime runs as root. release is called when it has
// been started; for other sandboxes nothing is done.
func ownUsers(s *pod.Sandbox, w *initstage.HostSandbox, dir string) (release func(), err error) {
	if s.IDs.Size == 0 {
		return func() {}, nil
	}
	w.Here, w.View, w.Shm = dir, view, filepath.Join(view, filepath.Base(w.Shm))
	w.UsersAt = filepath.Join(dir, usersFile)
	if err := os.WriteFile(w.UsersAt, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil { // the pod's own, above it, is 0700
		return nil, err
	}
	held, err := supervisor.Outside(s)
	if err != nil {
		return nil, err
	}
	w.Users = bundle.NamespacePath(held.Pid, "user")
	return held.Release, nil
}

// openUsers opens the pod's user namespace; nil is the host's.
func openUsers(b *box) (*os.File, error) {
	if b.IDs.Size == 0 {
		return nil, nil
	}
	return os.Open(filepath.Join("/proc", strconv.Itoa(b.sb.Pid()), "root", b.dir, usersFile))
}

// seen is the path by which a container reaches what is in the handler's directory.
func (b *box) seen(path string) string {
	if b.IDs.Size == 0 {
		return path
	}
	return view + strings.TrimPrefix(path, b.dir)
}

// outside is a process's user with the host's ids.
func outside(p pod.Process) specs.User {
	u := p.Spec.Process.User
	u.UID += p.IDs.HostID
	u.GID += p.IDs.HostID
	return u
}

// joined are the namespaces that a container takes from elsewhere.
func joined(b *box, p pod.Process) map[string]string {
	all := bundle.Namespaces(p.Spec, p.Join, b.sb.Pid())
	if b.IDs.Size > 0 {
		all["user"] = filepath.Join(b.dir, usersFile)
	}
	return all
}
