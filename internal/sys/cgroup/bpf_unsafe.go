package cgroup

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bpf calls bpf(2). What attr's pointer fields point to is kept alive by the caller.
func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR, unix.EAGAIN: // the verifier gives up on a pending signal
			continue
		}
		return 0, errno
	}
}

// loadDeviceProgram hands a program to the verifier and returns its CLOEXEC fd.
func loadDeviceProgram(code []byte) (int, error) {
	license := []byte("Apache-2.0\x00")
	attr := struct {
		kind     uint32
		count    uint32
		insns    uint64
		license  uint64
		logLevel uint32
		logSize  uint32
		logBuf   uint64
		version  uint32
		flags    uint32
		name     [bpfNameLength]byte
	}{
		kind:    programDevice,
		count:   uint32(len(code) / 8),
		insns:   uint64(uintptr(unsafe.Pointer(unsafe.SliceData(code)))),
		license: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(license)))),
	}
	copy(attr.name[:], bpfProgramName)
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(code)
	runtime.KeepAlive(license)
	return fd, err
}

// attach attaches or detaches a program, by fd, at a cgroup directory's fd.
func attach(cmd, dir, prog int) error {
	attr := struct{ target, prog, kind, flags uint32 }{uint32(dir), uint32(prog), attachDevice, unix.BPF_F_ALLOW_MULTI}
	if cmd == unix.BPF_PROG_DETACH {
		attr.flags = 0
	}
	_, err := bpf(cmd, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

// devicePrograms returns the ids of the device programs attached at a directory
// itself, without those of its parents.
func devicePrograms(dir int) ([]uint32, error) {
	ids := make([]uint32, queryMax)
	attr := struct {
		target, kind, queryFlags, attachFlags uint32
		ids                                   uint64
		count                                 uint32
		_                                     uint32
	}{target: uint32(dir), kind: attachDevice, ids: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(ids)))), count: queryMax}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(ids)
	if err != nil {
		return nil, err
	}
	return ids[:min(attr.count, queryMax)], nil
}

// detachByID detaches one program; one that is gone meanwhile is fine.
func detachByID(dir int, id uint32) error {
	attr := struct{ id, next, flags uint32 }{id: id}
	prog, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(prog)
	if err := attach(unix.BPF_PROG_DETACH, dir, prog); err != nil && err != unix.ENOENT {
		return err
	}
	return nil
}
