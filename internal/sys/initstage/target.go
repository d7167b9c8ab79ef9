package initstage

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/sys/spawn"
)

// The image decides what is at the path that a mount, a device or the working directory
// is asked for: links too, and links to what procfs shows of this process, which still
// has the host's root open. So nothing is looked up by a plain path. What is to be made
// is made in its directory, and that is opened as the target itself is.

// inImage opens within the root, and not through magic links.
const inImage uint64 = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// resolution is how a mount's target is looked up. The kernel's file systems go where
// they are named or nowhere: an image in which /proc is a symbolic link would have them
// elsewhere, without the masks (CVE-2019-19921, CVE-2026-41579).
func resolution(dest string) uint64 {
	switch firstDir(dest) {
	case "/proc", "/sys", "/dev":
		return inImage | unix.RESOLVE_NO_SYMLINKS
	}
	return inImage
}

func firstDir(p string) string {
	if i := strings.IndexByte(p[1:], '/'); i >= 0 {
		return p[:i+1]
	}
	return p
}

// openTarget opens a path inside of the root, without any right to it but the name.
func openTarget(b *spawn.Builder, dest string, flags, resolve uint64) spawn.Ref {
	how := make([]byte, 24) // struct open_how: flags, mode, resolve
	putU64(how, unix.O_PATH|unix.O_CLOEXEC|flags)
	putU64(how[16:], resolve)
	return b.Call(unix.SYS_OPENAT2, cwd(), b.Str(dest), b.Bytes(how), spawn.Imm(len(how)))
}

// target opens what a mount goes onto, a directory or a file, which is made if it is
// missing. /sys has what is needed, or has not.
func target(b *spawn.Builder, dest string, file bool) spawn.Arg {
	resolve := resolution(dest)
	return ensure(b, dest, resolve, func() {
		switch {
		case strings.HasPrefix(dest, "/sys/"):
			mkdir(b, "/sys", resolve)
		case file:
			mkdirAll(b, path.Dir(dest), resolve)
			create(b, dest, resolve)
		default:
			mkdirAll(b, dest, resolve)
		}
	})
}

// ensure opens a path, after it has been made if it is missing.
func ensure(b *spawn.Builder, dest string, resolve uint64, made func()) spawn.Arg {
	there := openTarget(b, dest, 0, resolve).Allow(uintptr(unix.ENOENT))
	at := there.Result()
	made()
	openTarget(b, dest, 0, resolve).Into(at)
	there.SkipOnOK(there.Since())
	return at
}

// inParent makes a call that takes a directory and a name in it.
func inParent(b *spawn.Builder, name string, resolve uint64, call func(dir, base spawn.Arg)) {
	dir := path.Dir(name)
	if dir == "/" { // on the way to which is nothing
		call(cwd(), b.Str(name))
		return
	}
	at := openTarget(b, dir, unix.O_DIRECTORY, resolve).Result()
	call(at, b.Str(path.Base(name)))
	b.Close(at)
}

func mkdir(b *spawn.Builder, dir string, resolve uint64) {
	inParent(b, dir, resolve, func(at, base spawn.Arg) {
		b.Call(unix.SYS_MKDIRAT, at, base, spawn.Imm(0o755)).Allow(uintptr(unix.EEXIST), uintptr(unix.EROFS))
	})
}

func mkdirAll(b *spawn.Builder, dir string, resolve uint64) {
	for i := 1; i < len(dir); i++ {
		if dir[i] == '/' {
			mkdir(b, dir[:i], resolve)
		}
	}
	if dir != "/" {
		mkdir(b, dir, resolve)
	}
}

// create makes an empty file; whatever has its name stays.
func create(b *spawn.Builder, name string, resolve uint64) {
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW
	inParent(b, name, resolve, func(at, base spawn.Arg) {
		f := b.Call(unix.SYS_OPENAT, at, base, spawn.Imm(flags), spawn.Imm(0o644)).
			Allow(uintptr(unix.EEXIST), uintptr(unix.EROFS), uintptr(unix.ELOOP)).SkipOnErr(1).Result()
		b.Close(f)
	})
}

// place moves a mount onto an open target, and lets go of that.
func place(b *spawn.Builder, mnt, at spawn.Arg) {
	moveMount(b, mnt, at, "")
	b.Close(at)
}
