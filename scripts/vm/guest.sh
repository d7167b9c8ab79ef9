#!/bin/sh
# What the virtual machine runs: every test binary below /mnt in its package's directory,
# or the command it was given. vm.sh wrote /mnt/vm.env. Results go to the disk
# for them as a tar: rc, the exit code, and the complete output of each package.
stty -F /dev/ttyS0 -onlcr 2>/dev/null # no carriage returns in somebody's log
. /mnt/vm.env
export CAROB_TEST_REQUIRE=root,cgroup,cgroup2,binaries,systemd,$VMLSM,network,ext4,xfs,ext4-quota,xfs-quota
export CAROB_TEST_SLOW=10
out=/var/tmp/out
rc=0
mkdir -p $out

seconds() { cut -d. -f1 /proc/uptime; }
echo "vm: Linux $(uname -r), cgroup $(stat -fc %T /sys/fs/cgroup), PID 1 $(cat /proc/1/comm), $VMLSM, up after $(seconds) s"

# tested runs one binary, of PACKAGE or PACKAGE:REGEXP, until shortly before the machine's
# end, so that a test that hangs is named by its time-out. The console shows which test
# runs, what it says and its result; the file in the results also its parts.
tested() {
	package=${1%%:*} run=$VMRUN began=$(seconds)
	[ "$package" = "$1" ] || run=${1#*:}
	name=$(echo "$package" | tr / -)
	echo "vm: $package"
	cd "/mnt/$package" || return
	# shellcheck disable=SC2086 # words
	{ ./carob.test -test.v -test.timeout=$((limit - began - 60))s ${run:+"-test.run=$run"} $VMARGS; echo $? >"$out/$name.rc"; } 2>&1 |
		tee "$out/$name.log" | grep --line-buffered -v -e '^=== .*/' -e '^=== [^R]' -e '^    --- [PS]' -e '^PASS$'
	says=ok
	[ "$(cat "$out/$name.rc")" = 0 ] || { says=FAIL; rc=1; }
	echo "vm: $says $package $(($(seconds) - began)) s" | tee -a $out/summary
}

if [ -n "$VMCMD" ]; then
	cd /mnt && sh -c "$VMCMD"
	rc=$?
else
	for p in $VMPKG; do
		case $p in
		demo) # make demo, without make: bin is built
			began=$(seconds)
			says=ok
			/mnt/scripts/demo.sh || { says=FAIL; rc=1; }
			echo "vm: $says demo $(($(seconds) - began)) s" | tee -a $out/summary ;;
		*) tested "$p" ;;
		esac
	done
	echo "vm: all after $(seconds) s:"
	cat $out/summary
fi
dmesg >$out/dmesg
echo $rc >$out/rc
tar -C $out -cf - . | dd of=/dev/disk/by-id/virtio-result bs=64k conv=fsync status=none
echo b >/proc/sysrq-trigger # with -no-reboot, the end of qemu
