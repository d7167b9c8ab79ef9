// Package recorded writes trees that look like a host's /proc, for tests: processes
// from a table of lines, so that what a test is about can be read in one place.
package recorded

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is one process to write. Inodes are by kind; a kind that is missing has the
// host's, as Host gives them. Files are more files below /proc/PID by name; a value
// that begins with "-> " makes a link.
type Process struct {
	PID, PPID int
	UID       int
	NSpid     string // "10538 1"; "" is the PID alone
	Start     int    // 0 is the PID
	Comm      string
	Args      []string
	Inodes    map[string]uint64
	Cgroup    string // one path for all hierarchies, or whole lines
	Files     map[string]string
}

// Host are the inodes that a kernel gives its first namespaces (Linux 6.18).
func Host() map[string]uint64 {
	return map[string]uint64{
		"mnt": 4026531832, "net": 4026531833, "time": 4026531834, "cgroup": 4026531835,
		"pid": 4026531836, "user": 4026531837, "uts": 4026531838, "ipc": 4026531839,
	}
}

// Write writes processes below root/proc.
func Write(root string, all []Process) error {
	for _, p := range all {
		if err := p.write(filepath.Join(root, "proc", strconv.Itoa(p.PID))); err != nil {
			return fmt.Errorf("recorded: process %d: %w", p.PID, err)
		}
	}
	return nil
}

func (p Process) write(dir string) error {
	if err := os.MkdirAll(dir+"/ns", 0o755); err != nil {
		return err
	}
	files := map[string]string{
		"status":  p.status(),
		"stat":    fmt.Sprintf("%d (%s) S %d%s %d 0\n", p.PID, p.Comm, p.PPID, strings.Repeat(" 0", 17), p.start()),
		"cmdline": strings.Join(append(p.Args, ""), "\x00"),
		"cgroup":  p.cgroup(),
	}
	for kind, inode := range Host() {
		if own, ok := p.Inodes[kind]; ok {
			inode = own
		}
		files["ns/"+kind] = fmt.Sprintf("-> %s:[%d]", kind, inode)
	}
	for name, text := range p.Files {
		files[name] = text
	}
	for name, text := range files {
		if err := put(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return nil
}

func put(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		return os.Symlink(target, path)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func (p Process) start() int {
	if p.Start == 0 {
		return p.PID
	}
	return p.Start
}

func (p Process) cgroup() string {
	if strings.Contains(p.Cgroup, ":") {
		return p.Cgroup
	}
	path := p.Cgroup
	if path == "" {
		path = "/"
	}
	return "4:memory:" + path + "\n1:name=systemd:" + path + "\n0::" + path + "\n"
}

func (p Process) status() string {
	nspid := p.NSpid
	if nspid == "" {
		nspid = strconv.Itoa(p.PID)
	}
	ids := strings.TrimSpace(strings.Repeat(strconv.Itoa(p.UID)+"\t", 4))
	return "Name:\t" + p.Comm + "\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t" + strconv.Itoa(p.PID) +
		"\nPPid:\t" + strconv.Itoa(p.PPID) + "\nUid:\t" + ids + "\nGid:\t" + ids +
		"\nNSpid:\t" + strings.Join(strings.Fields(nspid), "\t") + "\nVmRSS:\t     2048 kB\nThreads:\t1\n" +
		"CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n"
}

// Parse reads a table of processes. A line is one of
//
//	PID PPID UID NSPID CGROUP COMMAND…       NSPID with commas, CGROUP "/" for none
//	  KIND=INODE …                           of the process above: inodes
//	  FILE: text                             of the process above: a file or "-> link"
//
// and "#" begins a comment. The short name is the base name of the command.
func Parse(r io.Reader) ([]Process, error) {
	var all []Process
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := s.Text()
		f := strings.Fields(line)
		var err error
		switch {
		case len(f) == 0 || strings.HasPrefix(f[0], "#"):
		case line[0] == ' ' && len(all) > 0:
			err = all[len(all)-1].more(f, strings.TrimSpace(line))
		case len(f) < 6:
			err = fmt.Errorf("want PID PPID UID NSPID CGROUP COMMAND")
		default:
			p := Process{NSpid: strings.ReplaceAll(f[3], ",", " "), Cgroup: f[4], Args: f[5:], Comm: filepath.Base(f[5])}
			_, err = fmt.Sscan(strings.Join(f[:3], " "), &p.PID, &p.PPID, &p.UID)
			p.Comm = p.Comm[:min(len(p.Comm), 15)]
			all = append(all, p)
		}
		if err != nil {
			return nil, fmt.Errorf("recorded: line %d: %w", n, err)
		}
	}
	return all, s.Err()
}

func (p *Process) more(f []string, line string) error {
	if name, text, ok := strings.Cut(line, ": "); ok {
		if p.Files == nil {
			p.Files = map[string]string{}
		}
		if !strings.HasPrefix(text, "-> ") {
			text = strings.NewReplacer(`\n`, "\n", `\0`, "\x00").Replace(text) + "\n"
		}
		p.Files[name] = text
		return nil
	}
	if p.Inodes == nil {
		p.Inodes = map[string]uint64{}
	}
	for _, w := range f {
		kind, number, _ := strings.Cut(w, "=")
		inode, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return fmt.Errorf("%q: want KIND=INODE", w)
		}
		p.Inodes[kind] = inode
	}
	return nil
}
