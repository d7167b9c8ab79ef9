// Package selinux is what the kernel and the policy of this host know of SELinux, and what
// changes the labels of files. Labels of processes are given by the init stage.
//
// It does without github.com/opencontainers/selinux: that keeps the categories in use in
// variables of its own, where here a pod's record is what holds them; and it relabels by
// path, where a container that can change the directory may lead it out with a link.
package selinux

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// selinuxfs is where everybody mounts it.
const selinuxfs = "/sys/fs/selinux"

// Enabled tells whether the kernel runs SELinux with a policy. Without one every process is
// of the label kernel.
func Enabled() bool {
	if _, err := os.Stat(selinuxfs + "/enforce"); err != nil {
		return false
	}
	label, err := os.ReadFile("/proc/self/attr/current")
	return err == nil && strings.TrimRight(string(label), "\x00\n") != "kernel"
}

// Defaults are the labels that the policy has for processes and files of containers, both
// "" where it has none. An entry that the loaded policy does not know is none (Debian's names
// a type that it leaves out); err then says so.
func Defaults() (process, file string, err error) {
	for _, path := range []string{"/usr/share/containers/selinux/contexts", "/etc/selinux/" + policy() + "/contexts/lxc_contexts"} {
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			continue
		}
		words := assignments(f)
		_ = f.Close() // only read from
		process, file = words["process"], words["file"]
		break
	}
	if process == "" || file == "" {
		return "", "", nil
	}
	for _, l := range []string{process, file} {
		if err := Check(l); err != nil {
			return "", "", err
		}
	}
	return process, file, nil
}

// policy is the name of the policy's directory.
func policy() string {
	f, err := os.Open("/etc/selinux/config")
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // only read from
	return assignments(f)["SELINUXTYPE"]
}

// assignments reads KEY = "VALUE" lines.
func assignments(r io.Reader) map[string]string {
	out := map[string]string{}
	for lines := bufio.NewScanner(io.LimitReader(r, 1<<16)); lines.Scan(); {
		key, value, ok := strings.Cut(lines.Text(), "=")
		if key = strings.TrimSpace(key); ok && key != "" && key[0] != '#' && key[0] != ';' {
			out[key] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return out
}

// Check refuses, as Invalid, a label that the loaded policy does not know.
func Check(label string) error {
	f, err := os.OpenFile(selinuxfs+"/context", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // what was written has been judged
	if _, err := f.WriteString(label); err != nil {
		return fault.New(fault.Invalid, "selinux label \""+label+"\": this host's policy does not know it")
	}
	return nil
}

const xattr = "security.selinux"

// Labelled tells whether the open file has the label, also of one opened with O_PATH.
func Labelled(f *os.File, label string) bool {
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(self(int(f.Fd())), xattr, buf)
	return err == nil && strings.TrimRight(string(buf[:n]), "\x00") == label
}

// Relabel gives the open file or directory, and everything in it, the label. Nothing that
// happens in the directory meanwhile leads out of it: links are labelled themselves. Other
// mounts below are left alone, and so is a file system without labels of its own, as it is by
// Docker and the CRI's other runtimes. The directory itself comes last: when it has its label
// everything in it has.
func Relabel(f *os.File, label string) error {
	if needed(f.Name()) {
		return fault.New(fault.Invalid, "selinux: "+f.Name()+" belongs to the host's system and is not relabelled; mount a directory below it")
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return refused(f.Name(), err)
	}
	return walk{label: label, device: st.Dev, root: f.Name()}.apply(int(f.Fd()), &st, 0)
}

// needed are directories with labels that the host does not work without.
func needed(path string) bool {
	switch filepath.Clean(path) {
	case "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin",
		"/srv", "/sys", "/tmp", "/usr", "/var", "/etc/passwd", "/etc/shadow", "/etc/pki", "/var/lib", "/var/log":
		return true
	}
	return false
}

// self names a descriptor in procfs: xattr calls take none that was opened with O_PATH.
func self(n int) string { return "/proc/self/fd/" + strconv.Itoa(n) }

func refused(path string, err error) error {
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.Denied, "selinux: relabel "+path, err)
}

// walk labels a tree.
type walk struct {
	label, root string
	device      uint64
}

// maxDepth is where a tree ends that would take all descriptors.
const maxDepth = 256

func (w walk) apply(file int, st *unix.Stat_t, depth int) error {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if depth > maxDepth {
			return fault.New(fault.Invalid, "selinux: "+w.root+": directories too deep to be relabelled")
		}
		if err := w.below(file, depth); err != nil {
			return err
		}
	}
	err := unix.Setxattr(self(file), xattr, []byte(w.label), 0)
	if err == unix.EOPNOTSUPP {
		return nil
	}
	return refused(w.root, err)
}

func (w walk) below(dir, depth int) error {
	d, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return refused(w.root, err)
	}
	open := os.NewFile(uintptr(d), w.root)
	defer func() { _ = open.Close() }() // only read from
	for {
		names, err := open.Readdirnames(1000)
		for _, name := range names {
			if err := w.entry(d, name, depth); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return refused(w.root, err)
		}
	}
}

func (w walk) entry(dir int, name string, depth int) error {
	file, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return refused(w.root, err)
	}
	defer func() { _ = unix.Close(file) }()
	var st unix.Stat_t
	if err := unix.Fstat(file, &st); err != nil || st.Dev != w.device {
		return refused(w.root, err)
	}
	return w.apply(file, &st, depth+1)
}
