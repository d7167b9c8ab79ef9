// Package oci decides what a container's world is: from the request, the image's
// configuration and the facts of the host it makes the OCI runtime specification
// (1.3) that a handler carries out. It is pure: it opens nothing, asks nothing, and
// gives the same answer on every operating system.
//
// Container's answer is what Docker would give a runtime, except that
//   - capabilities are in no inheritable or ambient set (CVE-2022-24769), a user
//     other than root has none effective, and an exec as root has the whole
//     bounding set whoever the container's own process is;
//   - nothing of an image but its command, environment, directory, user and volumes
//     counts; annotations reach no handler (CVE-2023-6476, CVE-2024-3154);
//   - a label without its security module is refused, not dropped with a warning,
//     and what a cgroup cannot do is left in the plan for package cgroup to refuse;
//   - a memory limit may be as small as 512 KiB;
//   - more CPUs than the host has are refused only for Docker's commands, not for
//     Kubernetes' limits;
//   - every mount target is checked: never the root, /proc, what is below it, or /sys;
//   - a seccomp profile is read strictly, and an empty one is an error instead of no
//     filter; only a privileged container without a profile has no filter by default;
//   - the umask is always 0022, and HOME is always set.
//
// A container's own mounts take the place of what the plan would mount at the same
// target. The returned values share the seccomp profile and strings with other
// plans: they are for reading.
package oci
