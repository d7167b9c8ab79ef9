// Package mount makes mounts with the kernel's file-descriptor interface (fsopen,
// fsmount, open_tree, mount_setattr, move_mount; mount_setattr needs Linux 5.12).
// What it returns is detached: an O_PATH descriptor of a mount that is in nobody's
// mount namespace, that a pod's process moves to its place, and that vanishes with
// its last reference. No path is resolved twice, and a crash leaves nothing
// mounted. Every *os.File returned is close-on-exec and the caller's to close.
package mount
