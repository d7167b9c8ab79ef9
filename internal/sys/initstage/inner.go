package initstage

import (
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/plan/mountopt"
	"carob/internal/sys/spawn"
)

// Inner is a bind mount of what earlier mounts have brought into the container's root: it
// cannot be prepared before those are there.
type Inner struct {
	// Source is a path in the container's root.
	Source string
	// Mapped says that the mount takes on a user namespace's mapping. Who made the child gives
	// it that, in the step that MappingStep names: root of a user namespace could not. The
	// number is the mount's descriptor.
	Mapped bool
}

// MappingStep names the step in which a mount gets its mapping.
func MappingStep(m specs.Mount) string {
	return "mount " + m.Destination + ": id mapping of " + m.Source
}

// inner makes an Inner mount. Whether it is a file or a directory turns out here.
func (c Container) inner(b *spawn.Builder, m specs.Mount, in Inner) {
	o, _ := mountopt.Parse(m.Options) // package ocispec has checked them
	resolve := resolution(m.Destination)
	at := ensure(b, m.Destination, resolve, func() {
		mkdirAll(b, path.Dir(m.Destination), resolve)
		isDir := openTarget(b, in.Source, unix.O_DIRECTORY, inImage).Allow(uintptr(unix.ENOTDIR))
		mkdir(b, m.Destination, resolve)
		isDir.SkipOnErr(isDir.Since())
		create(b, m.Destination, resolve) // a directory that is there stays
	})
	source := openTarget(b, in.Source, 0, inImage).Result()
	flags, tree := unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH, 0
	if o.Tree || !o.Bind {
		tree = unix.AT_RECURSIVE
	}
	mnt := b.Call(unix.SYS_OPEN_TREE, source, b.Str(""), spawn.Imm(flags|tree)).Result()
	change(b, mnt, o, tree)
	if in.Mapped {
		c.Alone.wait(b, MappingStep(m), mnt)
	}
	place(b, mnt, at)
	b.Close(mnt)
	b.Close(source)
}

// remount changes a mount that is there, of which the kernel takes attributes only.
func remount(b *spawn.Builder, dest string, o mountopt.Options) {
	at := openTarget(b, dest, 0, inImage).Result()
	change(b, at, o, unix.AT_RECURSIVE)
	b.Close(at)
}

// change gives an open mount its attributes; tree is AT_RECURSIVE where the recursive
// propagation is for what is mounted below, too.
func change(b *spawn.Builder, at spawn.Arg, o mountopt.Options, tree int) {
	mountAttr{set: o.Set, clear: o.Clear}.apply(b, at, 0)
	mountAttr{set: o.SetTree, clear: o.ClearTree}.apply(b, at, unix.AT_RECURSIVE)
	mountAttr{propagation: o.PropagationTree}.apply(b, at, tree)
	mountAttr{propagation: o.Propagation}.apply(b, at, 0)
}

// mountAttr is struct mount_attr.
type mountAttr struct {
	set, clear  mountopt.Attr
	propagation string
}

// apply is mount_setattr(2), if there is anything to set.
func (a mountAttr) apply(b *spawn.Builder, at spawn.Arg, flags int) {
	if a == (mountAttr{}) {
		return
	}
	if a.set&mountopt.Atime != 0 {
		a.clear |= mountopt.Atime
	}
	attr := make([]byte, 32)
	putU64(attr, uint64(a.set))
	putU64(attr[8:], uint64(a.clear))
	putU64(attr[16:], propagation(a.propagation))
	b.Call(unix.SYS_MOUNT_SETATTR, at, b.Str(""), spawn.Imm(unix.AT_EMPTY_PATH|flags), b.Bytes(attr), spawn.Imm(len(attr)))
}

func propagation(word string) uint64 {
	switch word {
	case "private":
		return unix.MS_PRIVATE
	case "slave":
		return unix.MS_SLAVE
	case "shared":
		return unix.MS_SHARED
	case "unbindable":
		return unix.MS_UNBINDABLE
	}
	return 0
}
