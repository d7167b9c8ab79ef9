// Package initstage writes the programs (package spawn) that a pod supervisor
// runs: the one that sets up its own world, and those that build a container's
// world or an exec between clone and execve. It decides order and flags from a
// finished OCI specification and makes no system call itself; Listing of the
// builder shows a program as text, and that is what its tests compare.
//
// The order of a container's program, and why:
//
//	clone        into new mount (and pid, net, ipc, uts) namespaces
//	join         namespaces taken from others; a pid namespace takes a second fork
//	proc, sysfs, mqueue   made while the supervisor's own procfs and sysfs are still
//	             visible: in a user namespace the kernel asks for that
//	root         move_mount, pivot_root, old root gone: from here on every path is
//	             resolved inside the container and nowhere else (CVE-2021-30465)
//	mounts       each target through openat2 without magic links
//	cgroup       late, so that nothing of carob is charged to the container, and
//	             before unshare(CLONE_NEWCGROUP), so that it sees itself at "/"
//	masks        by descriptor, from the container's own null device
//	             (CVE-2025-31133); /proc targets without following links
//	identity     no_new_privs, bounding set, ids, capabilities, seccomp
//	execve       after close_range(CLOEXEC) (CVE-2024-21626)
package initstage
