package toolbox

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func ipcTools() []tool.Tool {
	return []tool.Tool{
		{Name: "ipcs", Usage: "[-mqsa]", Does: "show System V IPC objects", Run: ipcs},
		{Name: "mq", Usage: "send NAME TEXT | recv [-n] NAME | rm NAME | ls", Does: "pass messages through POSIX queues", Misused: 2, Run: mq},
		{Name: "shm", Usage: "write KEY TEXT | read KEY | rm KEY", Does: "share text in System V shared memory", Misused: 2, Run: shm},
	}
}

// ipcs prints the IPC namespace's System V objects as the kernel does, and its
// POSIX message queues where mqueue is mounted.
func ipcs(c *tool.Call) (int, error) {
	o, _, err := c.Parse("mqsa")
	if err != nil {
		return 0, err
	}
	for _, kind := range []struct {
		letter     byte
		file, name string
	}{{'m', "shm", "shared memory"}, {'q', "msg", "message queues"}, {'s', "sem", "semaphores"}} {
		if len(o) > 0 && !o.Has('a') && !o.Has(kind.letter) {
			continue
		}
		text, err := os.ReadFile("/proc/sysvipc/" + kind.file)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(c.Out, "--- %s ---\n", kind.name)
		for line := range strings.Lines(string(text)) {
			fmt.Fprintln(c.Out, strings.Join(strings.Fields(line), " "))
		}
	}
	return 0, nil
}

// shmSize is the size of the segments that shm makes: one page everywhere.
const shmSize = 4096

// shm shares one line of text in a System V segment.
func shm(c *tool.Call) (int, error) {
	usage := tool.Misuse{}
	if len(c.Args) < 2 {
		return 0, usage
	}
	key, err := strconv.ParseInt(c.Args[1], 0, 32)
	if err != nil || key == 0 {
		return 0, tool.Invalid("'%s' is no key: want a number other than 0, 0x for hexadecimal", c.Args[1])
	}
	switch {
	case c.Args[0] == "write" && len(c.Args) == 3:
		return 0, shmWrite(int(key), c.Args[2])
	case c.Args[0] == "read" && len(c.Args) == 2:
		text, err := shmRead(int(key))
		if err == nil {
			_, err = fmt.Fprintln(c.Out, text)
		}
		return 0, err
	case c.Args[0] == "rm" && len(c.Args) == 2:
		id, err := unix.SysvShmGet(int(key), 0, 0)
		if err == nil {
			_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		}
		return 0, segment(int(key), err)
	}
	return 0, usage
}

func segment(key int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("segment %#x: %s", uint32(key), tool.Why(err))
}

func shmWrite(key int, text string) error {
	if len(text) >= shmSize {
		return fmt.Errorf("at most %d bytes of text", shmSize-1)
	}
	id, err := unix.SysvShmGet(key, shmSize, unix.IPC_CREAT|0o666)
	if err != nil {
		return segment(key, err)
	}
	m, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return segment(key, err)
	}
	clear(m)
	copy(m, text)
	return segment(key, unix.SysvShmDetach(m))
}

func shmRead(key int) (string, error) {
	id, err := unix.SysvShmGet(key, 0, 0)
	if err != nil {
		return "", segment(key, err)
	}
	m, err := unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	if err != nil {
		return "", segment(key, err)
	}
	end, _, _ := bytes.Cut(m, []byte{0})
	text := string(end) // before the memory goes
	return text, segment(key, unix.SysvShmDetach(m))
}

// mqAttr is struct mq_attr of <linux/mqueue.h>.
type mqAttr struct {
	flags, maxMessages, messageSize, current int
	_                                        [4]int
}

// mq passes messages through a POSIX queue, by system call: no libc is here to do
// it, and the queues work where the mqueue file system is not mounted.
func mq(c *tool.Call) (int, error) {
	usage := tool.Misuse{}
	args, wait := c.Args, true
	if slices.Index(args, "-n") == 1 && args[0] == "recv" {
		args, wait = slices.Concat(args[:1], args[2:]), false
	}
	switch {
	case len(args) == 3 && args[0] == "send":
		return 0, queueError(args[1], mqSend(args[1], args[2]))
	case len(args) == 2 && args[0] == "recv":
		text, err := mqReceive(args[1], wait)
		if err == nil {
			fmt.Fprintln(c.Out, text)
		}
		return 0, queueError(args[1], err)
	case len(args) == 2 && args[0] == "rm":
		return 0, queueError(args[1], mqUnlink(args[1]))
	case len(args) == 1 && args[0] == "ls":
		return 0, mqList(c)
	}
	return 0, usage
}

func mqUnlink(name string) error {
	p, err := queueName(name)
	if err != nil {
		return err
	}
	if _, _, e := unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(p)), 0, 0); e != 0 {
		return e
	}
	return nil
}

func queueError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("queue %s: %s", name, tool.Why(err))
}

// queueName is without the leading slash that libc takes off.
func queueName(name string) (*byte, error) {
	return unix.BytePtrFromString(strings.TrimPrefix(name, "/"))
}

func mqOpen(name string, flags int) (int, error) {
	p, err := queueName(name)
	if err != nil {
		return 0, err
	}
	fd, _, e := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(p)), uintptr(flags|unix.O_CLOEXEC), 0o666, 0, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(fd), nil
}

func mqSend(name, text string) error {
	fd, err := mqOpen(name, unix.O_WRONLY|unix.O_CREAT)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	message := append([]byte(text), 0)
	return repeat(func() unix.Errno {
		_, _, e := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, uintptr(fd), uintptr(unsafe.Pointer(&message[0])), uintptr(len(text)), 0, 0, 0)
		return e
	})
}

func mqReceive(name string, wait bool) (string, error) {
	flags := unix.O_RDONLY | unix.O_CREAT
	if !wait {
		flags = unix.O_RDONLY | unix.O_NONBLOCK
	}
	fd, err := mqOpen(name, flags)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var attr mqAttr
	if _, _, e := unix.Syscall(unix.SYS_MQ_GETSETATTR, uintptr(fd), 0, uintptr(unsafe.Pointer(&attr))); e != 0 {
		return "", e
	}
	message := make([]byte, cmp.Or(attr.messageSize, 1))
	var n uintptr
	err = repeat(func() (e unix.Errno) {
		n, _, e = unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, uintptr(fd), uintptr(unsafe.Pointer(&message[0])), uintptr(len(message)), 0, 0, 0)
		return e
	})
	if err != nil {
		return "", err
	}
	return string(message[:n]), nil
}

// repeat goes on after a signal: Go's own arrive at any time.
func repeat(do func() unix.Errno) error {
	for {
		switch e := do(); e {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return e
		}
	}
}

// mqueueMagic is MQUEUE_MAGIC of ipc/mqueue.c.
const mqueueMagic = 0x19800202

// mqList shows the queues where the mqueue file system is mounted.
func mqList(c *tool.Call) error {
	const dir = "/dev/mqueue"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Type != mqueueMagic {
		return fmt.Errorf("%s: no mqueue file system is mounted", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			text = []byte(err.Error())
		}
		fmt.Fprintf(c.Out, "/%s %s\n", e.Name(), strings.Join(strings.Fields(string(text)), " "))
	}
	return nil
}
