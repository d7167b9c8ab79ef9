package reaper

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Entry is where the kernel begins a program that is linked with it, by
// -E carob/internal/sys/reaper.Entry. It executes the command that its arguments are as a
// child, with its environment, streams and open descriptors, and then is Serve. A command
// that there is none of ends with 127, one that cannot be executed with 126, and the
// standard error says which.
func Entry()

// What a shell gives for commands that cannot be executed.
const (
	cannotExecute = 126
	notFound      = 127
)

const word = unsafe.Sizeof(uintptr(0))

// begin is called by Entry with the end of the stack, where execve(2) leaves the number of
// arguments, the arguments, 0, the environment, 0; and with room for a file's name.
//
//lint:ignore U1000 assembly uses it
//go:norace
//go:nosplit
func begin(stack, room unsafe.Pointer) {
	argc := *(*uintptr)(stack)
	if argc < 2 {
		refuse(nil, "no command", 0)
	}
	args, env := unsafe.Add(stack, 2*word), unsafe.Add(stack, (argc+2)*word)
	if err := adopt(); err != 0 {
		refuse(nil, "become the subreaper", err)
	}
	var none [4]uint64 // struct sigaction of the kernel, all zero: SIG_DFL
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGCHLD), uintptr(unsafe.Pointer(&none)), 0, unsafe.Sizeof(none[3]), 0, 0)
	all, before := ^uint64(0), uint64(0)
	mask(&all, &before)
	child, _, err := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	switch {
	case err != 0:
		refuse(nil, "fork", err)
	case child != 0:
		Serve(child)
	}
	if err := foreground(); err != 0 {
		refuse(nil, "take the terminal", err)
	}
	mask(&before, &all)
	err = execute(args, env, room)
	refuse(pointer(args), "", err)
}

// adopt has orphans come here where the pid namespace is a pod's or the host's, too.
// Process 1 has them anyway; gVisor allows it this call in its first thread alone.
//
//go:norace
//go:nosplit
func adopt() syscall.Errno {
	if pid, _, _ := syscall.RawSyscall6(syscall.SYS_GETPID, 0, 0, 0, 0, 0, 0); pid == 1 {
		return 0
	}
	_, _, err := syscall.RawSyscall6(syscall.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, 0)
	return err
}

//go:norace
//go:nosplit
func mask(set, before *uint64) {
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(before)), unsafe.Sizeof(*set), 0, 0)
}

// foreground puts this process, if it has a terminal, into the foreground in a process
// group of its own: Ctrl-C is sent to it once, by the kernel. SIGTTOU is blocked here.
//
//go:norace
//go:nosplit
func foreground() syscall.Errno {
	var group int32
	if _, _, err := syscall.RawSyscall6(syscall.SYS_IOCTL, 0, syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)), 0, 0, 0); err != 0 {
		return 0
	}
	if _, _, err := syscall.RawSyscall6(syscall.SYS_SETPGID, 0, 0, 0, 0, 0, 0); err != 0 {
		return err
	}
	pid, _, _ := syscall.RawSyscall6(syscall.SYS_GETPID, 0, 0, 0, 0, 0, 0)
	group = int32(pid)
	_, _, err := syscall.RawSyscall6(syscall.SYS_IOCTL, 0, syscall.TIOCSPGRP, uintptr(unsafe.Pointer(&group)), 0, 0, 0)
	return err
}

// execute tries the command, in each directory of PATH when its name has no slash, as
// execvp(3) does; it returns if there is none. A directory that is not absolute would run
// what lies in the working directory and is left out.
//
//go:norace
//go:nosplit
func execute(args, env, room unsafe.Pointer) syscall.Errno {
	name := pointer(args)
	if octet(name, 0) == 0 || length(name, '/') < length(name, 0) {
		return execve(name, args, env)
	}
	failed := syscall.ENOENT
	for dirs := path(env); dirs != nil; {
		n := length(dirs, ':')
		if octet(dirs, 0) == '/' && join(room, dirs, n, name) {
			switch err := execve(room, args, env); err {
			case syscall.ENOENT, syscall.ENOTDIR:
			case syscall.EACCES:
				failed = err
			default:
				return err
			}
		}
		if octet(dirs, n) == 0 {
			break
		}
		dirs = unsafe.Add(dirs, n+1)
	}
	return failed
}

//go:norace
//go:nosplit
func execve(file, args, env unsafe.Pointer) syscall.Errno {
	_, _, err := syscall.RawSyscall6(syscall.SYS_EXECVE, uintptr(file), uintptr(args), uintptr(env), 0, 0, 0)
	return err
}

// path returns what PATH is in the environment, nil if it is not.
//
//go:norace
//go:nosplit
func path(env unsafe.Pointer) unsafe.Pointer {
	for ; pointer(env) != nil; env = unsafe.Add(env, word) {
		v := pointer(env)
		if octet(v, 0) == 'P' && octet(v, 1) == 'A' && octet(v, 2) == 'T' && octet(v, 3) == 'H' && octet(v, 4) == '=' {
			return unsafe.Add(v, 5)
		}
	}
	return nil
}

// join makes the file's name of n bytes of a directory's and its own, in the room that
// Entry has for it: PATH_MAX.
//
//go:norace
//go:nosplit
func join(room, dir unsafe.Pointer, n uintptr, name unsafe.Pointer) bool {
	if n+1+length(name, 0) >= unix.PathMax {
		return false
	}
	for i := range n {
		*(*byte)(unsafe.Add(room, i)) = octet(dir, i)
	}
	*(*byte)(unsafe.Add(room, n)) = '/'
	for i := range length(name, 0) + 1 {
		*(*byte)(unsafe.Add(room, n+1+i)) = octet(name, i)
	}
	return true
}

// length is how many bytes of the C string are before the given one.
//
//go:norace
//go:nosplit
func length(s unsafe.Pointer, end byte) (n uintptr) {
	for octet(s, n) != end && octet(s, n) != 0 {
		n++
	}
	return n
}

//go:norace
//go:nosplit
func octet(p unsafe.Pointer, i uintptr) byte { return *(*byte)(unsafe.Add(p, i)) }

//go:norace
//go:nosplit
func pointer(p unsafe.Pointer) unsafe.Pointer { return *(*unsafe.Pointer)(p) }

// refuse says what is wrong, with the command if there is one, and ends this process.
//
//go:norace
//go:nosplit
func refuse(command unsafe.Pointer, step string, err syscall.Errno) {
	code := uintptr(cannotExecute)
	say("carob-init: ")
	if command != nil {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_WRITE, 2, uintptr(command), length(command, 0), 0, 0, 0)
	}
	say(step)
	switch err {
	case 0:
	case syscall.ENOENT:
		code = notFound
		say(": not found")
	case syscall.EACCES:
		say(": permission denied")
	case syscall.ENOEXEC:
		say(": not a program for this machine")
	default:
		say(": errno ")
		sayNumber(uintptr(err))
	}
	say("\n")
	exit(code)
}

//go:norace
//go:nosplit
func say(text string) {
	_, _, _ = syscall.RawSyscall6(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(len(text)), 0, 0, 0)
}

// sayNumber is for numbers of errors: they have three digits at most.
//
//go:norace
//go:nosplit
func sayNumber(n uintptr) {
	for unit := uintptr(100); unit > 0; unit /= 10 {
		digit := byte('0' + n/unit%10)
		if n >= unit {
			_, _, _ = syscall.RawSyscall6(syscall.SYS_WRITE, 2, uintptr(unsafe.Pointer(&digit)), 1, 0, 0, 0)
		}
	}
}
