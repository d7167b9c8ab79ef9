package hostfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"carob/internal/plan/etc"
	"carob/internal/spec"
)

// WriteEtc writes a pod's files of /etc, which package etc decides, into its directory.
// They are rewritten in place: containers have the very files bind mounted.
func WriteEtc(dir string, r etc.Request) error {
	r.Host = os.ReadFile
	files, err := etc.Files(r)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		// Whatever the umask says, containers read it.
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644)); err != nil {
			return fmt.Errorf("/etc/%s: %w", name, err)
		}
	}
	return nil
}

// Etc returns container path → host file for those of a pod's files of /etc that none of these
// mounts replaces.
func Etc(dir string, mounts []spec.Mount) map[string]string {
	out := map[string]string{}
	for _, name := range etc.Names() {
		if !slices.ContainsFunc(mounts, func(m spec.Mount) bool { return filepath.Clean(m.Target) == "/etc/"+name }) {
			out["/etc/"+name] = filepath.Join(dir, name)
		}
	}
	return out
}
