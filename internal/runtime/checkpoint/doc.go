// Package checkpoint is the native handler with checkpoints: it writes a container's
// processes down with CRIU, and starts a container from what was written. Everything else
// the native handler does.
//
// A dump is the daemon's: CRIU is a child of its, and stops the processes by the container's
// freezer. A restore is the supervisor's: CRIU runs as a helper below it, in the container's
// cgroup, makes the first process a child of the supervisor, and ends; the process
// is adopted then as that of an OCI runtime is. The daemon speaks with CRIU through a socket
// all the while.
//
// Trust. The images may come from anywhere, and CRIU, which is root, does what they say. So:
//
//   - it works in a mount namespace in which all file systems of the host are read-only and
//     without devices (type stage): a file that an image tells it to open and truncate is
//     none of the host's;
//   - whatever comes from outside, mounts, namespaces, streams, is given to it by name from
//     the request, and nothing else is;
//   - before anything goes on, the kernel is asked what has been made, task for task, and that
//     is held against the request: rights, filter, namespaces, cgroup, mounts, masks
//     (plan/checkpoint). What asks for more is killed.
//
// A pod with a user namespace of its own is refused: CRIU knows no id-mapped mounts.
//
// Files: a directory in Scratch for the time of a restore, 0700, with the images.
package checkpoint
