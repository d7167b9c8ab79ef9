#!/bin/sh
# A pod from one command, looked at from outside: which namespaces its containers
# share, which limits the kernel holds, what goes through shared memory. Everything
# is taken away again, and the script checks that it is. Needs root.
set -eu
cd "$(dirname "$0")/.."

RUN=${CAROB_RUN:-/run/carob}
ROOT=${CAROB_ROOT:-/var/lib/carob}
carob=$PWD/bin/carob
manifest=examples/foo.yaml

bold= green= red= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') green=$(printf '\033[32m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# show prints a command, runs it, and prints what it says.
show() {
	printf '  $ carob %s\n' "$*"
	said=$("$carob" "$@" 2>&1) || fail "$said"
	[ -z "$said" ] || printf '%s\n' "$said" | sed 's/^/  /'
}
fail() { printf '%sdemo: %s%s\n' "$red" "$*" "$plain" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "containers need root; try: sudo make demo"

# listening says whether a daemon serves the socket (a crashed one leaves the file).
listening() { grep -q " $RUN/api.sock\$" /proc/net/unix; }

# host prints what of carob can be seen on the machine, one thing per line.
host() {
	for p in /proc/[0-9]*; do
		case $(readlink "$p/exe" 2>/dev/null || true) in
		*/carob-pod*) echo "supervisor process ${p#/proc/}" ;;
		esac
	done
	awk -v run="$RUN/" -v root="$ROOT/" 'index($5, run) == 1 || index($5, root) == 1 { print "mount " $5 }' /proc/self/mountinfo
	find /sys/fs/cgroup -mindepth 2 -type d -path '*carob*/*' 2>/dev/null | sed 's/^/cgroup /'
	for l in /sys/class/net/*; do echo "link ${l##*/}"; done
	for d in "$RUN/pods" "$ROOT/logs" "$ROOT/pods" "$ROOT/containers"; do
		[ -d "$d" ] && find "$d" -mindepth 1 -maxdepth 1 | sed 's/^/file /'
	done
	true
}

had_daemon=no had_run=no had_root=no
listening && had_daemon=yes
[ -e "$RUN" ] && had_run=yes
[ -e "$ROOT" ] && had_root=yes
before=$(mktemp) after=$(mktemp)
host | sort >"$before"

leave() {
	code=$?
	trap - EXIT
	"$carob" delete -f "$manifest" >/dev/null 2>&1 || true
	stop_daemon
	rm -f "$before" "$after"
	exit $code
}
# stop_daemon ends the daemon and takes away its directories, each only when it was
# not there before.
stop_daemon() {
	if [ $had_daemon = no ] && listening; then
		pid=$("$carob" info --format '{{.Pid}}')
		kill "$pid"
		n=0
		while [ -e "/proc/$pid" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
	fi
	listening && return
	if [ $had_run = no ]; then rm -rf "$RUN"; fi
	if [ $had_root = no ]; then rm -rf "$ROOT"; fi
}
trap leave EXIT
trap 'exit 130' INT TERM

title "1. A pod of two containers, from $manifest"
show apply -f "$manifest"
show ps

app=$("$carob" inspect --format '{{.State.Pid}}' foo/app)
sidecar=$("$carob" inspect --format '{{.State.Pid}}' foo/sidecar)

title "2. They share the network: the sidecar asks the app on localhost"
n=0
until "$carob" exec foo/sidecar curl -s http://localhost/get >/dev/null 2>&1; do
	n=$((n + 1)); [ $n -lt 50 ] || fail "the app does not answer"
	sleep 0.1
done
show exec foo/sidecar curl -s http://localhost/get

title "3. Namespaces, as the kernel shows them (/proc/$app/ns and /proc/$sidecar/ns)"
printf '  %-7s %-22s %-22s\n' kind app sidecar
for kind in net ipc uts user mnt pid cgroup; do
	a=$(readlink "/proc/$app/ns/$kind") b=$(readlink "/proc/$sidecar/ns/$kind") h=$(readlink "/proc/self/ns/$kind")
	says="own"
	[ "$a" = "$b" ] && says="${green}shared${plain}"
	[ "$a" = "$h" ] && says="${red}the host's${plain}"
	printf '  %-7s %-22s %-22s %s\n' "$kind" "$a" "$b" "$says"
	case $kind:$a in
	net:"$b" | ipc:"$b" | uts:"$b") ;;
	mnt:"$b" | pid:"$b") fail "$kind is shared and should not be" ;;
	net:* | ipc:* | uts:*) fail "$kind is not shared" ;;
	esac
done

title "4. One cgroup for the pod, one below it per container; limits read back from the kernel"
# memory_group prints the directory of a process's memory cgroup, v1 or v2.
memory_group() {
	path=$(awk -F: '$2 == "memory" { print $3 }' "/proc/$1/cgroup")
	if [ -n "$path" ]; then
		echo "/sys/fs/cgroup/memory$path"
	else
		echo "/sys/fs/cgroup$(awk -F: '$1 == 0 { print $3 }' "/proc/$1/cgroup")"
	fi
}
limit() { cat "$1/memory.max" 2>/dev/null || cat "$1/memory.limit_in_bytes"; }
pod_group=$(dirname "$(memory_group "$app")")
printf '  %s\n' "$pod_group"
for who in app sidecar; do
	eval "pid=\$$who"
	group=$(memory_group "$pid")
	[ "$(dirname "$group")" = "$pod_group" ] || fail "$who is not below the pod's cgroup"
	printf '  └─ %.12s…  %-8s pid %-8s memory limit %s bytes\n' "$(basename "$group")" "$who" "$pid" "$(limit "$group")"
done
[ "$(limit "$(memory_group "$app")")" = 268435456 ] || fail "the app's limit is not 256Mi"
[ "$(limit "$(memory_group "$sidecar")")" = 134217728 ] || fail "the sidecar's limit is not 128Mi"

title "5. They share IPC: the app writes a shared-memory segment, the sidecar reads it"
show exec foo/app shm write 4242 "hello from the app"
show exec foo/sidecar shm read 4242
[ "$("$carob" exec foo/sidecar shm read 4242)" = "hello from the app" ] || fail "the segment is not shared"

title "6. And away with it"
show delete -f "$manifest"
stop_daemon
n=0
while :; do
	host | sort >"$after"
	left=$(comm -13 "$before" "$after")
	[ -n "$left" ] && [ $n -lt 30 ] || break
	sleep 0.1; n=$((n + 1))
done
[ -z "$left" ] || fail "left behind:
$left"
printf '  %sThe host is as it was: no process, mount, cgroup, link or file of the pod is left.%s\n' "$green" "$plain"
