package ocirt

import (
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/fd"
)

// setEnv completes a process's environment, with HOME from the container's /etc/passwd if it
// is missing or empty: what runc does, and images rely on.
func setEnv(p *specs.Process, root *os.File) error {
	home, err := ocispec.Environment(p)
	if err != nil || home {
		return err
	}
	dir, err := homeOf(p.User.UID, root)
	if err == nil {
		p.Env = append(p.Env, "HOME="+dir)
	}
	return err
}

// maxPasswd bounds what is read of a file that an image brought (CVE-2025-4437).
const maxPasswd = 1 << 20

// homeOf looks a user's directory up in the container's /etc/passwd. It is "/" for a user
// who is not there.
func homeOf(uid uint32, root *os.File) (string, error) {
	at, err := fd.InRoot(root, "/etc/passwd", true)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) {
		return "/", nil
	}
	if err != nil {
		return "", err
	}
	defer at.Close()
	info, err := at.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "/", err
	}
	f, err := os.OpenFile(fd.Path(at), os.O_RDONLY|fd.NoBlock, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return ocispec.Home(io.LimitReader(f, maxPasswd), uid)
}
