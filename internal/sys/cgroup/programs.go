package cgroup

import (
	"sync"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// programs are the device programs that have been loaded, by their code. Most groups
// have the same one, and the verifier takes 0.2 ms for it.
type programs struct {
	mu    sync.Mutex
	known map[string]int // file descriptors
}

// maxPrograms bounds how many are kept; when there are more, all are loaded anew.
const maxPrograms = 32

// attach attaches a program to a directory. The kernel keeps what is attached.
func (p *programs) attach(dir int, code []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	prog, ok := p.known[string(code)]
	if !ok {
		var err error
		if prog, err = loadDeviceProgram(code); err != nil {
			return fault.Wrap(kind(err), "devices: load program", err)
		}
		if p.known == nil || len(p.known) >= maxPrograms {
			p.forget()
		}
		p.known[string(code)] = prog
	}
	if err := attach(unix.BPF_PROG_ATTACH, dir, prog); err != nil {
		return fault.Wrap(kind(err), "devices: attach program", err)
	}
	return nil
}

func (p *programs) forget() {
	for _, prog := range p.known {
		unix.Close(prog)
	}
	p.known = map[string]int{}
}

// The bpf(2) commands and constants that x/sys/unix has no wrappers for.
const (
	attachDevice   = 6 // BPF_CGROUP_DEVICE
	programDevice  = 15
	queryMax       = 64
	bpfNameLength  = 16
	bpfProgramName = "carob_devices"
)

// replace attaches a device program to a v2 directory in place of those that are there.
func (p *programs) replace(dir string, code []byte) error {
	fd, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fault.Wrap(kind(err), "devices", err)
	}
	defer unix.Close(fd)
	old, err := devicePrograms(fd)
	if err != nil {
		return fault.Wrap(kind(err), "devices: query programs", err)
	}
	if len(old) == 0 {
		return p.attach(fd, code)
	}
	return exchange(fd, old, code)
}

// exchange attaches a program and then detaches the old ones. All attached programs must
// agree, so in between an access needs the consent of old and new: there is no gap.
// MULTI keeps parents' programs in force and lets the group's own children attach
// theirs. The program is loaded anew: none can be attached twice.
func exchange(dir int, old []uint32, code []byte) error {
	prog, err := loadDeviceProgram(code)
	if err != nil {
		return fault.Wrap(kind(err), "devices: load program", err)
	}
	defer unix.Close(prog)
	if err := attach(unix.BPF_PROG_ATTACH, dir, prog); err != nil {
		return fault.Wrap(kind(err), "devices: attach program", err)
	}
	for _, id := range old {
		if err := detachByID(dir, id); err != nil {
			return fault.Wrap(kind(err), "devices: detach program", err)
		}
	}
	return nil
}
