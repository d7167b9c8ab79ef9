package mount

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Propagation is what a mount passes on, and takes over: mount_namespaces(7).
type Propagation struct{ Shared, Slave bool }

// PropagationOf tells of the mount that a path is on; of one that is not there, the mount
// that it would be made on.
func PropagationOf(path string) (Propagation, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st)
	for errors.Is(err, fs.ErrNotExist) && path != "/" && path != "." {
		path = filepath.Dir(path)
		err = unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &st)
	}
	if err != nil {
		return Propagation{}, wrap("statx", path, err)
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Propagation{}, err
	}
	defer func() { _ = f.Close() }() // only read from
	return parsePropagation(f, st.Mnt_id)
}

// parsePropagation finds a mount in mountinfo by its ID (proc_pid_mountinfo(5)): its
// optional fields stand between the sixth and a lone dash.
func parsePropagation(r io.Reader, id uint64) (Propagation, error) {
	var p Propagation
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), 1<<20)
	for s.Scan() {
		f := strings.Fields(s.Text())
		if len(f) < 7 || f[0] != strconv.FormatUint(id, 10) {
			continue
		}
		for _, word := range f[6:] {
			switch {
			case word == "-":
				return p, nil
			case strings.HasPrefix(word, "shared:"):
				p.Shared = true
			case strings.HasPrefix(word, "master:"):
				p.Slave = true
			}
		}
		return p, nil
	}
	if err := s.Err(); err != nil {
		return p, err
	}
	return p, fault.New(fault.NotFound, fmt.Sprintf("mountinfo: no mount %d", id))
}
