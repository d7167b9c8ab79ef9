#!/bin/sh
# Runs the tests that need root where most users are: pure cgroup v2, systemd as PID 1,
# AppArmor, Debian's kernel, in a virtual machine under software emulation, so that neither
# KVM nor this host's kernel matters. `make test-vm` calls it after building bin.
#
#   scripts/vm.sh                                every package with such tests, then the demo
#   VMPKG='internal/sys/cgroup' scripts/vm.sh    some packages (demo counts as one), or PACKAGE:REGEXP
#   VMSELECT=ci scripts/vm.sh                    those of scripts/vm/ci
#   VMRUN='TestOOM' scripts/vm.sh                the tests that match
#   VMARGS='-test.count=9' scripts/vm.sh         more arguments for the test binaries
#   VMCMD='systemd-cgls' scripts/vm.sh           a command instead, in the source tree
#   VMTIME=90 scripts/vm.sh                      minutes until the machine is ended, 60 without
#   VMLSM=selinux scripts/vm.sh                  SELinux, enforcing, in the place of AppArmor
#   VMRELEASE=trixie scripts/vm.sh               Debian 13: Linux 6.12, systemd 257, AppArmor 4; without, Debian 12: 6.1, 252, 3
#
# CAROB_VM (default ~/.cache/carob-vm) keeps a root image for each release, made from
# scripts/vm/recipe.sh and again when that changes. The last run's complete output is in
# CAROB_VM/out. Needs root and Debian; missing packages are installed. What it starts ends
# with it, killed or not, and what a killed run left on disk the next one takes away.
set -eu
cd "$(dirname "$0")/.."

CAROB_VM=${CAROB_VM:-${XDG_CACHE_HOME:-$HOME/.cache}/carob-vm}
needy=$(grep -rl 'testenv\.Require' --include='*_test.go' internal test | xargs -n1 dirname | sort -u)
[ -z "${VMSELECT:-}" ] || VMPKG=$(grep -v '^#' "scripts/vm/$VMSELECT")
VMPKG=${VMPKG:-$needy demo}
minutes=${VMTIME:-60}
lsm=${VMLSM:-apparmor}
release=${VMRELEASE:-bookworm}

fail() { echo "vm: $*" >&2; exit 2; }
case $release in bookworm | trixie) ;; *) fail "VMRELEASE=$release: neither bookworm nor trixie" ;; esac
[ "$(id -u)" = 0 ] || fail "making and booting a machine needs root"
[ "$(uname -m)" = x86_64 ] || fail "only amd64 so far"
[ "$lsm" = apparmor ] || [ "$lsm" = selinux ] || fail "VMLSM is apparmor or selinux"
for b in carob carobd carob-look carob-pod carob-init carob-oci carob-toolbox; do [ -x bin/$b ] || fail "no bin/$b; run make"; done

# get installs packages. Another apt may hold a lock, and a mirror fail for a moment.
get() {
	for pause in 0 10 30 60; do
		sleep $pause
		said=$({
			apt-get -qq -o Acquire::Retries=3 update || true # what that lacks, the next line says
			DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
				-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install "$@"
		} 2>&1 </dev/null) && return
	done
	fail "apt-get install $*: $said"
}
missing=
has() { command -v "$1" >/dev/null || missing="$missing $2"; }
has qemu-system-x86_64 qemu-system-x86
has mmdebstrap mmdebstrap
has mke2fs e2fsprogs
if [ -n "$missing" ]; then
	echo "vm: installing$missing"
	# shellcheck disable=SC2086 # a list
	get $missing
fi

# A run's directory is locked by the run and by what it started, since each has descriptor
# 9. Nobody's lock: the run was killed.
mkdir -p "$CAROB_VM"
CAROB_VM=$(cd "$CAROB_VM" && pwd)
for old in "$CAROB_VM"/run.*; do
	[ ! -d "$old" ] || flock -n "$old" rm -rf "$old" || true
done
work=$(mktemp -d "$CAROB_VM/run.XXXXXX")
exec 9<"$work"
flock 9
jobs=
leave() {
	code=$?
	trap - EXIT
	# shellcheck disable=SC2086 # a list
	[ -z "$jobs" ] || kill -KILL $jobs 2>/dev/null || true
	exec 9<&-
	flock -w 60 "$work" rm -rf "$work"
	exit "$code"
}
trap leave EXIT
trap 'exit 130' INT TERM HUP

# What takes long runs beside this shell, which would not hear a signal before the end of a
# command in the foreground; and with processes and mounts that cannot outlive it.
apart="setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child"

# The root image, once per release and recipe. Two runs that both find none make one each; the last
# rename wins.
recipe=$(sha256sum scripts/vm/recipe.sh | cut -c1-16)
root=$CAROB_VM/root-$release-$recipe
making=
if [ ! -d "$root" ]; then
	echo "vm: making the root image in $root"
	mkdir "$work/root"
	$apart sh scripts/vm/recipe.sh "$work/root" "$release" &
	making=$!
	jobs=$making
fi

# Meanwhile the tree that the machine sees: sources (tests read testdata and find go.mod),
# bin, and one test binary in each package's directory. With bin's flags for the compiler,
# most of what is in those is compiled already. /tmp may be small.
tree=$work/tree
mkdir "$tree" "$work/tmp"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -C "$tree" -xf -
cp -r bin "$tree/bin"
packages=
for p in $VMPKG; do
	[ "$p" = demo ] || [ -n "${VMCMD:-}" ] || packages="$packages ${p%%:*}"
done
# shellcheck disable=SC2016,SC2086 # the inner shell's variables; words
TMPDIR=$work/tmp $apart sh -euc '
	for p; do CGO_ENABLED=0 nice go test -c -trimpath -ldflags="-s -w" -o "$0/$p/carob.test" "./$p"; done' "$tree" $packages &
compiling=$!
jobs="$jobs $compiling"
wait $compiling || fail "the tests do not compile"
jobs=$making

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }
cat >"$tree/vm.env" <<ENV
VMPKG=$(quoted "$VMPKG")
VMRUN=$(quoted "${VMRUN:-}")
VMARGS=$(quoted "${VMARGS:-}")
VMCMD=$(quoted "${VMCMD:-}")
VMLSM=$lsm
limit=$((minutes * 60)) # seconds
ENV
truncate -s 1G "$work/tree.img"
truncate -s 64M "$work/result.img"
mke2fs -q -t ext4 -F -m 0 -O '^has_journal,^metadata_csum' -E root_owner=0:0 -d "$tree" "$work/tree.img"
rm -rf "$tree"

if [ -n "$making" ]; then
	wait $making || fail "no root image"
	jobs=
	rm -rf "$CAROB_VM/root-$release"-*
	mv "$work/root" "$root"
fi

if [ "$lsm" = selinux ]; then
	plain=$root
	root=$CAROB_VM/selinux-$release-$(cat scripts/vm/recipe.sh scripts/vm/selinux.sh scripts/vm/container.cil | sha256sum | cut -c1-16)
	if [ ! -d "$root" ]; then
		echo "vm: making the root image in $root"
		mkdir "$work/selinux"
		$apart sh scripts/vm/selinux.sh "$plain" "$work/selinux" &
		jobs=$!
		wait "$jobs" || fail "no root image with SELinux"
		jobs=
		rm -rf "$CAROB_VM/selinux-$release"-*
		mv "$work/selinux" "$root"
	fi
fi

# Linux probes disks at once, and names those of a kind in the order in which they answer:
# one of a kind is the root, whose name the kernel must know, and udev finds the others by
# their serials.
disk() { # name, device, file, options
	disks="$disks -drive if=none,id=$1,file=$3,format=raw,$4 -device $2,serial=$1,drive=$1"
}
disks=
disk root nvme "$root/root.img" snapshot=on,cache=unsafe
disk tree virtio-blk-pci "$work/tree.img" readonly=on
disk result virtio-blk-pci "$work/result.img" cache=unsafe
# No check of the timer, tsc and no watchdogs: an emulated processor stalls whenever the host's does. The guest's
# tsc is the host's, whose rate bogomips are twice of: measured by a guest that stalls it
# has come out ten times too low, and every second of a test was a tenth of one.
tsc=$(awk -F: '/^bogomips/ { printf "%d", $2 * 500; exit }' /proc/cpuinfo)
# TMPDIR is where qemu keeps what the machine changes of its root.
# shellcheck disable=SC2086 # words
TMPDIR=$work/tmp $apart timeout -k 10 "${minutes}m" \
	nice -n 10 qemu-system-x86_64 -accel tcg,thread=multi,tb-size=1024 -machine q35,hpet=off -cpu max -smp 2 -m 3G \
	-nodefaults -no-user-config -no-reboot -display none -serial stdio -kernel "$root/vmlinuz" \
	-append "root=/dev/nvme0n1 rw console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off no_timer_check tsc=reliable tsc_early_khz=$tsc nowatchdog rcupdate.rcu_cpu_stall_suppress=1 $lsm=1 security=$lsm systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 net.ifnames=0 fsck.mode=skip TERM=dumb hugepages=4" \
	$disks </dev/null &
jobs=$!
ended=0
wait "$jobs" || ended=$?
jobs=

out=$CAROB_VM/out
rm -rf "$out"
mkdir "$out"
tar -C "$out" -xf "$work/result.img" 2>/dev/null || true # nothing is a tar of no files
[ -s "$out/rc" ] || fail "the machine ended before its tests did; its console is above (qemu: exit $ended, 124 is $minutes minutes over)"
rc=$(cat "$out/rc")
if [ "$rc" != 0 ] && [ -z "${VMCMD:-}" ]; then
	for log in "$out"/*.log; do
		[ "$(cat "${log%.log}.rc")" != 0 ] || continue
		echo "vm: failed in $(basename "$log" .log):"
		awk -f scripts/vm/failed.awk "$log"
	done
	echo "vm: complete output in $out"
fi
exit "$rc"
