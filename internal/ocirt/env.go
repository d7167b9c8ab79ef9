package ocirt

import (
	"bufio"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// setEnv makes every variable stand once, the last one said, and adds HOME from the
// container's /etc/passwd if it is missing or empty: what runc does, and images rely on.
func setEnv(p *specs.Process, root *os.File) error {
	seen := map[string]bool{}
	var env []string
	hasHome := false
	for _, e := range slices.Backward(p.Env) {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" {
			return fault.New(fault.Invalid, "process.env: "+strconv.Quote(e)+" is not NAME=VALUE")
		}
		if !seen[name] && e != "HOME=" {
			env = append(env, e)
		}
		hasHome = hasHome || name == "HOME" && !seen[name] && e != "HOME="
		seen[name] = true
	}
	slices.Reverse(env)
	if !hasHome {
		home, err := homeOf(p.User.UID, root)
		if err != nil {
			return err
		}
		env = append(env, "HOME="+home)
	}
	p.Env = env
	return nil
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
	return lookHome(io.LimitReader(f, maxPasswd), uid)
}

// lookHome reads a passwd(5). A directory with a control character would become two lines of
// somebody's environment (CVE-2022-4318 was such a line).
func lookHome(r io.Reader, uid uint32) (string, error) {
	id := strconv.FormatUint(uint64(uid), 10)
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Split(s.Text(), ":")
		if len(f) >= 7 && f[2] == id && f[5] != "" && !strings.ContainsFunc(f[5], func(r rune) bool { return r < ' ' }) {
			return f[5], nil
		}
	}
	if err := s.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return "", err
	}
	return "/", nil
}
