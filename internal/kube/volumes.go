package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"carob/internal/fault"
	"carob/internal/kube/manifest"
	"carob/internal/spec"
	"carob/internal/undo"
)

// maxProfile bounds a seccomp profile in bytes; Docker's default has 15 KB.
const maxProfile = 1 << 20

// uidForm is the only form of name that is ever removed below Dir.
var uidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (a *Applier) podDir(uid string) string { return filepath.Join(a.Dir, uid) }

func (a *Applier) volumeDir(uid string) string { return filepath.Join(a.podDir(uid), "volumes") }

// makeVolumes checks the host's paths and makes the pod's own volumes.
func (a *Applier) makeVolumes(uid string, all []manifest.Volume, back *undo.Stack) error {
	own := false
	for _, v := range all {
		if v.Host == nil {
			own = true
			continue
		}
		if err := hostPath(v.Host, back); err != nil {
			return fmt.Errorf("volume %s: hostPath %s: %w", v.Name, v.Host.Path, err)
		}
	}
	if !own {
		return nil
	}
	back.Push("volumes", func(context.Context) error { return a.removeVolumes(uid) })
	if err := os.MkdirAll(a.volumeDir(uid), 0o700); err != nil {
		return fmt.Errorf("volumes: %w", err)
	}
	for _, v := range all {
		if v.Host != nil {
			continue
		}
		if err := a.makeEmptyDir(v); err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	return nil
}

func (a *Applier) makeEmptyDir(v manifest.Volume) error {
	if err := os.Mkdir(v.Dir, 0o700); err != nil {
		return err
	}
	if v.Memory {
		if err := a.Mounts.Tmpfs(v.Dir, v.Size); err != nil {
			return err
		}
	}
	if v.Group != nil {
		if err := os.Chown(v.Dir, -1, int(*v.Group)); err != nil {
			return err
		}
	}
	return os.Chmod(v.Dir, fileMode(v.Mode)) // not with Mkdir: the umask
}

// fileMode reads permission bits as Unix writes them.
func fileMode(unix uint32) fs.FileMode {
	m := fs.FileMode(unix & 0o777)
	if unix&0o2000 != 0 {
		m |= fs.ModeSetgid
	}
	if unix&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// hostPath checks that what is at a path has the wanted type, or makes it.
func hostPath(v *corev1.HostPathVolumeSource, back *undo.Stack) error {
	kind := corev1.HostPathUnset
	if v.Type != nil {
		kind = *v.Type
	}
	st, err := os.Stat(v.Path)
	if errors.Is(err, fs.ErrNotExist) {
		switch kind {
		case corev1.HostPathDirectoryOrCreate:
			return makeDirs(v.Path, back)
		case corev1.HostPathFileOrCreate:
			return makeFile(v.Path, back)
		case corev1.HostPathUnset:
			return fault.New(fault.NotFound, "does not exist (type: DirectoryOrCreate makes it)")
		}
		return fault.New(fault.NotFound, "does not exist")
	}
	if err != nil {
		return err
	}
	if is := st.Mode(); !hasType(is, kind) {
		return fault.New(fault.Conflict, fmt.Sprintf("is %s, not %s", typeName(is), kind))
	}
	return nil
}

func hasType(m fs.FileMode, kind corev1.HostPathType) bool {
	switch kind {
	case corev1.HostPathDirectory, corev1.HostPathDirectoryOrCreate:
		return m.IsDir()
	case corev1.HostPathFile, corev1.HostPathFileOrCreate:
		return m.IsRegular()
	case corev1.HostPathSocket:
		return m&fs.ModeSocket != 0
	case corev1.HostPathCharDev:
		return m&fs.ModeCharDevice != 0
	case corev1.HostPathBlockDev:
		return m&fs.ModeDevice != 0 && m&fs.ModeCharDevice == 0
	}
	return true
}

func typeName(m fs.FileMode) string {
	for _, k := range []corev1.HostPathType{corev1.HostPathDirectory, corev1.HostPathFile, corev1.HostPathSocket,
		corev1.HostPathCharDev, corev1.HostPathBlockDev} {
		if hasType(m, k) {
			return "a " + string(k)
		}
	}
	return "something else"
}

// makeDirs is MkdirAll with an undo that removes what it made and is still empty.
func makeDirs(path string, back *undo.Stack) error {
	var missing []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil || p == "/" {
			break
		}
		missing = append(missing, p)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := os.Mkdir(missing[i], 0o755); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		pushRemove(missing[i], back)
	}
	return nil
}

func makeFile(path string, back *undo.Stack) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	pushRemove(path, back)
	return f.Close()
}

func pushRemove(path string, back *undo.Stack) {
	back.Push(path, func(context.Context) error {
		if st, err := os.Lstat(path); err != nil || (st.Mode().IsRegular() && st.Size() > 0) {
			return nil // someone has put something into it
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

// makeSubPaths makes the directories that mounts name inside their volumes, with
// the volume's mode. Containers that run already can write there: os.Root never
// follows a link out of the volume (CVE-2017-1002101, CVE-2021-25741), and the
// mount itself is resolved again by the engine, in the volume too.
func makeSubPaths(all []spec.Mount) error {
	for _, m := range all {
		if m.Type == spec.Image || m.SubPath == "" || m.SubPath == "." {
			continue
		}
		if err := makeSubPath(m.Source, m.SubPath); err != nil {
			return fmt.Errorf("subPath %s: %w", m.SubPath, err)
		}
	}
	return nil
}

func makeSubPath(volume, sub string) error {
	root, err := os.OpenRoot(volume)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.Stat(sub); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	st, err := root.Stat(".")
	if err != nil {
		return err
	}
	words := strings.Split(sub, "/")
	for i := range words {
		dir := filepath.Join(words[:i+1]...)
		if err := root.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := root.Chmod(dir, st.Mode()); err != nil {
			return err
		}
	}
	return nil
}

// removeVolumes removes a pod's directory. Whatever is still mounted below goes
// first, volumes and what a privileged container mounted into them alike: a removal
// that walked into a mount would delete someone else's files.
func (a *Applier) removeVolumes(uid string) error {
	if !uidForm.MatchString(uid) {
		return fault.New(fault.Internal, fmt.Sprintf("volumes: %q is not a uid that apply gives", uid))
	}
	dir := a.podDir(uid)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	below := a.mountsBelow
	if below == nil {
		below = mountsBelow
	}
	for range maxStacked {
		mounts, err := below(dir)
		if err != nil {
			return fmt.Errorf("volumes: %w", err)
		}
		if len(mounts) == 0 {
			return a.Mounts.Remove(dir)
		}
		for i := len(mounts) - 1; i >= 0; i-- {
			if err := a.Mounts.Unmount(mounts[i]); err != nil {
				return fmt.Errorf("volumes: %w", err)
			}
		}
	}
	return fault.New(fault.Unavailable, "volumes: "+dir+": mounts keep coming back")
}

// Sweep removes the volumes of pods that do not exist any more; live says which
// uids do. It is called once, before any Apply.
func (a *Applier) Sweep(live func(uid string) bool) error {
	entries, err := os.ReadDir(a.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("volumes: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if uidForm.MatchString(e.Name()) && !live(e.Name()) {
			errs = append(errs, a.removeVolumes(e.Name()))
		}
	}
	return errors.Join(errs...)
}

// readProfiles reads seccomp profiles below SeccompDir and never elsewhere.
func (a *Applier) readProfiles(names []string) (map[string]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	if a.SeccompDir == "" {
		return nil, fault.New(fault.Unsupported, "seccomp profile: no directory of profiles is configured")
	}
	root, err := os.OpenRoot(a.SeccompDir)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, "seccomp profiles", err)
	}
	defer root.Close()
	all := map[string]string{}
	for _, name := range names {
		text, err := readProfile(root, name)
		if err != nil {
			return nil, fault.Wrap(fault.NotFound, "seccomp profile "+name, err)
		}
		all[name] = text
	}
	return all, nil
}

func readProfile(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err == nil && len(text) > maxProfile {
		return "", fmt.Errorf("larger than %d bytes", maxProfile)
	}
	return string(text), err
}
