package mount

import (
	"errors"
	"math"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// nodes are the devices that every container has (OCI runtime specification,
// "Default Devices"): character devices with these numbers.
func nodes() map[string][2]uint32 {
	return map[string][2]uint32{
		"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0},
	}
}

// links are the symbolic links of a container's /dev, as the OCI runtime
// specification lists them ("Dev symbolic links"), and ptmx of its own devpts.
func links() map[string]string {
	return map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
		"ptmx": "pts/ptmx", "core": "/proc/kcore",
	}
}

// DefaultDevices and DefaultLinks are what FillDev makes, for a /dev that is no file
// system of its own: paths in /dev.
func DefaultDevices() map[string][2]uint32 { return nodes() }

// DefaultLinks maps names in /dev to their targets.
func DefaultLinks() map[string]string { return links() }

// Device is one more device node for a container's /dev.
type Device struct {
	// Path is relative to /dev; Mode has the type (S_IFCHR, S_IFBLK) and permissions.
	Path         string
	Mode         uint32
	Major, Minor uint32
	UID, GID     int
}

// Dev makes a container's /dev: a small detached memory file system with the
// default devices, extra ones, the links, and the directories that other mounts go
// to. owner is the host's id of the container's root. The nodes are made here
// because no user namespace but the first may make them, and they work because the
// file system belongs to it. label is that of SELinux, "" for none.
func Dev(owner int, extra []Device, label string) (*os.File, error) {
	id := strconv.Itoa(owner)
	options := []Option{{Key: "mode", Value: "0755"}, {Key: "size", Value: "64m"}, {Key: "uid", Value: id}, {Key: "gid", Value: id}}
	m, err := New("tmpfs", NoSuid, append(options, Context(label)...)...)
	if err != nil {
		return nil, err
	}
	if err := FillDev(m, owner, extra); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// FillDev puts what belongs into a /dev into a detached file system. A device of extra
// replaces the default one of that name.
func FillDev(m *os.File, owner int, extra []Device) error { return fillDev(int(m.Fd()), owner, extra) }

// FillDevBare is FillDev without devices, which are then mounted there.
func FillDevBare(m *os.File, owner int) error { return bareDev(int(m.Fd()), owner) }

func bareDev(dir, owner int) error {
	for _, name := range []string{"pts", "shm", "mqueue"} {
		if err := unix.Mkdirat(dir, name, 0o755); err != nil {
			return wrap("mkdirat", "/dev/"+name, err)
		}
		if err := unix.Fchownat(dir, name, owner, owner, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return wrap("fchownat", "/dev/"+name, err)
		}
	}
	for name, to := range links() {
		if err := unix.Symlinkat(to, dir, name); err != nil {
			return wrap("symlinkat", "/dev/"+name, err)
		}
	}
	return nil
}

func fillDev(dir, owner int, extra []Device) error {
	if err := bareDev(dir, owner); err != nil {
		return err
	}
	for name, n := range nodes() {
		if slices.ContainsFunc(extra, func(d Device) bool { return d.Path == name }) {
			continue
		}
		if err := mknod(dir, Device{Path: name, Mode: unix.S_IFCHR | 0o666, Major: n[0], Minor: n[1], UID: owner, GID: owner}); err != nil {
			return err
		}
	}
	for _, d := range extra {
		if err := mknod(dir, d); err != nil {
			return err
		}
	}
	return nil
}

func mknod(dir int, d Device) error {
	for i, c := range d.Path { // /dev/net/tun
		if c == '/' {
			if err := unix.Mkdirat(dir, d.Path[:i], 0o755); err != nil && err != unix.EEXIST {
				return wrap("mkdirat", "/dev/"+d.Path[:i], err)
			}
		}
	}
	if err := unix.Mknodat(dir, d.Path, d.Mode, int(unix.Mkdev(d.Major, d.Minor))); err != nil {
		return wrap("mknodat", "/dev/"+d.Path, err)
	}
	if err := unix.Fchmodat(dir, d.Path, d.Mode&0o7777, 0); err != nil { // the umask took bits away
		return wrap("fchmodat", "/dev/"+d.Path, err)
	}
	return wrap("fchownat", "/dev/"+d.Path, unix.Fchownat(dir, d.Path, d.UID, d.GID, unix.AT_SYMLINK_NOFOLLOW))
}

// Pts makes a container's own devpts. owner is the host's id of its root; terminals
// belong to its group 5 as everywhere. label is that of SELinux, "" for none.
func Pts(owner int, label string) (*os.File, error) {
	group := uint32(owner) + 5
	pts, err := newPts(strconv.FormatUint(uint64(group), 10), label)
	if group > math.MaxInt32 && errors.Is(err, unix.EINVAL) {
		// Seen with Linux 6.12: it reads the number as an int, into which it wraps what
		// it has read as 64 bits. A kubelet gives its pods any of the 2^32 ids.
		pts, err = newPts("0x"+strconv.FormatUint(uint64(int32(group)), 16), label)
	}
	return pts, err
}

func newPts(group, label string) (*os.File, error) {
	options := []Option{{Key: "newinstance"}, {Key: "ptmxmode", Value: "0666"}, {Key: "mode", Value: "0620"}, {Key: "gid", Value: group}}
	return New("devpts", NoSuid|NoExec, append(options, Context(label)...)...)
}

// Terminal is a pseudo terminal of a container's devpts.
type Terminal struct {
	// Master is read and written by whoever serves the terminal.
	Master *os.File
	// Slave becomes the process's standard streams.
	Slave *os.File
}

// Close closes what is open.
func (t Terminal) Close() {
	for _, f := range []*os.File{t.Master, t.Slave} {
		if f != nil {
			f.Close()
		}
	}
}

// OpenTerminal opens a new terminal of a devpts that Pts made, owned by uid on the
// host. The slave is taken from the master (TIOCGPTPEER), never opened by name
// (CVE-2025-52565).
func OpenTerminal(pts *os.File, uid int) (t Terminal, err error) {
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	fd, err := unix.Openat(int(pts.Fd()), "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return t, wrap("openat", "/dev/pts/ptmx", err)
	}
	t.Master = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return t, wrap("ioctl TIOCSPTLCK", "/dev/pts/ptmx", err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return t, wrap("ioctl TIOCGPTPEER", "/dev/pts/ptmx", errno)
	}
	t.Slave = os.NewFile(peer, "tty")
	return t, wrap("fchown", "terminal", unix.Fchown(int(peer), uid, -1))
}

// Empty makes a small detached memory file system with these empty directories. label is
// that of SELinux, "" for none.
func Empty(dirs []string, label string) (*os.File, error) {
	options := []Option{{Key: "mode", Value: "0755"}, {Key: "size", Value: "64k"}}
	m, err := New("tmpfs", NoSuid|NoDev|NoExec, append(options, Context(label)...)...)
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if err := unix.Mkdirat(int(m.Fd()), d, 0o755); err != nil {
			m.Close()
			return nil, wrap("mkdirat", d, err)
		}
	}
	return m, nil
}
