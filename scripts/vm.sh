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
#
# CAROB_VM (default ~/.cache/carob-vm) keeps the machine's root image, made from
# scripts/vm/recipe.sh and again when that changes. The last run's complete output is in
# CAROB_VM/out. Needs root and Debian; missing packages are installed.
set -eu
cd "$(dirname "$0")/.."

CAROB_VM=${CAROB_VM:-${XDG_CACHE_HOME:-$HOME/.cache}/carob-vm}
needy=$(grep -rl 'testenv\.Require' --include='*_test.go' internal | xargs -n1 dirname | sort -u)
[ -z "${VMSELECT:-}" ] || VMPKG=$(grep -v '^#' "scripts/vm/$VMSELECT")
VMPKG=${VMPKG:-$needy test/e2e demo}
minutes=${VMTIME:-40}

fail() { echo "vm: $*" >&2; exit 2; }
[ "$(id -u)" = 0 ] || fail "making and booting a machine needs root"
[ "$(uname -m)" = x86_64 ] || fail "only amd64 so far"
for b in carob carobd carob-pod carob-init carob-oci carob-toolbox; do [ -x bin/$b ] || fail "no bin/$b; run make"; done

missing=
has() { command -v "$1" >/dev/null || missing="$missing $2"; }
has qemu-system-x86_64 qemu-system-x86
has mmdebstrap mmdebstrap
has mke2fs e2fsprogs
if [ -n "$missing" ]; then
	echo "vm: installing$missing"
	apt-get update -qq
	# shellcheck disable=SC2086 # a list
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
fi

mkdir -p "$CAROB_VM"
CAROB_VM=$(cd "$CAROB_VM" && pwd)
work=$(mktemp -d "$CAROB_VM/run.XXXXXX") # beside other runs
qemu=
leave() {
	code=$?
	trap - EXIT
	[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
	rm -rf --one-file-system "$work" # not what a mmdebstrap that was killed has left mounted there
	exit "$code"
}
trap leave EXIT
trap 'exit 130' INT TERM

# The root image, once per recipe. Two runs that both find none make one each; the last
# rename wins.
recipe=$(sha256sum scripts/vm/recipe.sh | cut -c1-16)
root=$CAROB_VM/root-$recipe
if [ ! -d "$root" ]; then
	echo "vm: making the root image in $root"
	mkdir "$work/root"
	sh scripts/vm/recipe.sh "$work/root"
	rm -rf "$CAROB_VM"/root-*
	mv "$work/root" "$root"
fi

# The tree that the machine sees: sources (tests read testdata and find go.mod), bin, and
# one test binary in each package's directory.
tree=$work/tree
mkdir "$tree"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -C "$tree" -xf -
cp -r bin "$tree/bin"
for p in $VMPKG; do
	p=${p%%:*}
	[ "$p" = demo ] || [ -n "${VMCMD:-}" ] || CGO_ENABLED=0 nice go test -c -ldflags=-w -o "$tree/$p/carob.test" "./$p"
done
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"; }
cat >"$tree/vm.env" <<ENV
VMPKG=$(quoted "$VMPKG")
VMRUN=$(quoted "${VMRUN:-}")
VMARGS=$(quoted "${VMARGS:-}")
VMCMD=$(quoted "${VMCMD:-}")
CAROB_TEST_REQUIRE=${CAROB_TEST_REQUIRE-root,cgroup,cgroup2,binaries,systemd,apparmor}
CAROB_TEST_SLOW=${CAROB_TEST_SLOW-10}
ENV
mke2fs -q -t ext4 -F -m 0 -O '^has_journal,^metadata_csum' -E root_owner=0:0 -d "$tree" "$work/tree.img" 1G
rm -rf "$tree"
truncate -s 64M "$work/result.img"

disk() { # file, options
	n=${n:--1}; n=$((n + 1))
	set -- "-drive" "if=none,id=d$n,file=$1,format=raw,$2" "-device" "nvme,serial=d$n,drive=d$n"
	disks="$disks $*"
}
disks=
disk "$root/root.img" snapshot=on,cache=unsafe
disk "$work/tree.img" readonly=on
disk "$work/result.img" cache=unsafe
# tsc and no watchdogs: an emulated processor stalls whenever the host's does. The guest's
# tsc is the host's, whose rate bogomips are twice of: measured by a guest that stalls it
# has come out ten times too low, and every second of a test was a tenth of one.
tsc=$(awk -F: '/^bogomips/ { printf "%d", $2 * 500; exit }' /proc/cpuinfo)
# shellcheck disable=SC2086 # words
setpriv --pdeathsig KILL timeout -k 10 "${minutes}m" setpriv --pdeathsig KILL \
	nice -n 10 qemu-system-x86_64 -accel tcg,thread=multi,tb-size=1024 -machine q35,hpet=off -cpu max -smp 2 -m 3G \
	-nodefaults -no-user-config -no-reboot -display none -serial stdio -kernel "$root/vmlinuz" \
	-append "root=/dev/nvme0n1 rw console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off tsc=reliable tsc_early_khz=$tsc nowatchdog rcupdate.rcu_cpu_stall_suppress=1 apparmor=1 security=apparmor systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 net.ifnames=0 fsck.mode=skip hugepages=4" \
	$disks </dev/null &
qemu=$!
ended=0
wait "$qemu" || ended=$?
qemu=

rm -rf "$CAROB_VM/out"
mkdir "$CAROB_VM/out"
tar -C "$CAROB_VM/out" -xf "$work/result.img" 2>/dev/null || true # nothing is a tar of no files
[ -s "$CAROB_VM/out/rc" ] || fail "the machine ended before its tests did (qemu: exit $ended, 124 is $minutes minutes over)"
exit "$(cat "$CAROB_VM/out/rc")"
