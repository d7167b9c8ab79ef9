package cgroup

import (
	"context"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
)

// WatchOOM calls told each time the kernel has been out of memory for the group, and
// returns when ctx ends or the group goes. Without a memory controller it is
// fault.Unsupported.
func WatchOOM(ctx context.Context, g *Group, told func()) error {
	dir := g.Path("memory")
	if dir == "" {
		return fault.New(fault.Unsupported, "cgroup "+g.Name()+": no memory controller on this host")
	}
	open, news := noticeV1, func() bool { return exists(dir) } // which a removal wakes, too
	if g.l.host["memory"] == plan.V2 {
		var seen uint64
		open, news = noticeV2, func() bool {
			before := seen
			seen = kills(dir)
			return seen > before
		}
		news()
	}
	f, err := open(dir)
	if err != nil {
		return fault.Wrap(kind(err), "cgroup "+g.Name()+": watch memory", err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer func() {
		if stop() {
			f.Close()
		}
	}()
	event := make([]byte, 4096)
	for {
		if _, err := f.Read(event); err != nil || !exists(dir) { // closed: ctx has ended
			return nil
		}
		if news() {
			told()
		}
	}
}

func kills(dir string) (n uint64) {
	text, _ := readFile(dir + "/memory.events") // none is none
	flat([]byte(text), func(key []byte, count uint64) {
		if string(key) == "oom_kill" {
			n = count
		}
	})
	return n
}

// noticeV1 is an eventfd that v1's memory controller writes to, and that a removal of
// the group writes to.
func noticeV1(dir string) (*os.File, error) {
	control, err := os.Open(dir + "/memory.oom_control")
	if err != nil {
		return nil, err
	}
	defer control.Close()
	n, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	order := strconv.Itoa(n) + " " + strconv.Itoa(int(control.Fd()))
	if err := writeFile(dir+"/cgroup.event_control", order); err != nil {
		_ = unix.Close(n)
		return nil, err
	}
	return os.NewFile(uintptr(n), "eventfd"), nil
}

// noticeV2 is an inotify that tells of changes of the group's memory.events, and of the
// end of its last process.
func noticeV2(dir string) (*os.File, error) {
	n, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"/memory.events", "/cgroup.events"} {
		if _, err := unix.InotifyAddWatch(n, dir+name, unix.IN_MODIFY|unix.IN_DELETE_SELF); err != nil {
			_ = unix.Close(n)
			return nil, pathError("inotify_add_watch", dir+name, err)
		}
	}
	return os.NewFile(uintptr(n), "inotify"), nil
}
