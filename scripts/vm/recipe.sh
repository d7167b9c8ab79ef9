#!/bin/sh
# recipe.sh DIR RELEASE: makes DIR/root.img, a Debian that boots to systemd with pure
# cgroup v2 and AppArmor, and DIR/vmlinuz, its kernel. vm.sh calls it and keeps what it makes
# until this file changes. Needs root, mmdebstrap and mke2fs; leaves nothing else behind.
set -eu
dir=$1
suite=$2
packages="e2fsprogs systemd systemd-sysv libpam-systemd dbus udev kmod apparmor procps util-linux iproute2 nftables mawk xfsprogs linux-image-cloud-amd64"

# ext4 and nvme are built into Debian's cloud kernels, so nothing needs an initramfs, and
# making one takes longer than all the rest: what makes it is true(1).
# shellcheck disable=SC2016 # for mmdebstrap's shell
no_initramfs='ln -s /bin/true "$1/usr/sbin/update-initramfs"; chroot "$1" dpkg-divert --quiet --no-rename --divert /usr/sbin/update-initramfs.real --add /usr/sbin/update-initramfs'
tree=$dir/tree
trap 'rm -rf --one-file-system "$tree"' EXIT
trap 'exit 130' INT TERM
debian() {
	rm -rf --one-file-system "$tree"
	nice mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io \
		--essential-hook="$no_initramfs" \
		--include="$(echo "$packages" | tr ' ' ',')" \
		"$suite" "$tree" \
		"deb http://deb.debian.org/debian $suite main" \
		"deb http://deb.debian.org/debian $suite-updates main" \
		"deb http://deb.debian.org/debian-security $suite-security main"
}
# A mirror in the middle of an update fails for some minutes.
debian || { sleep 30 && debian; } || { sleep 120 && debian; }

cp "$tree"/boot/vmlinuz-*-cloud-amd64 "$dir/vmlinuz"
rm -rf "${tree:?}"/boot/*

cd "$tree/etc"
echo vm >hostname
printf '127.0.0.1 localhost vm\n' >hosts
printf '%s\n' '/dev/nvme0n1 / ext4 rw,noatime 0 0' '/dev/disk/by-id/virtio-tree /mnt ext4 ro,noload,x-systemd.device-timeout=0 0 0' >fstab
echo ca0b0000000000000000000000000001 >machine-id # a fixed one: without it, this is a first boot
printf 'overlay\nnf_conntrack\n' >modules-load.d/carob.conf

# What waits for hardware or the clock, and terminals that would read the console. And the
# tmpfs that Debian 13 has on /tmp: images are on a disk where users are.
for unit in tmp.mount getty.target serial-getty@ttyS0.service systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer \
	dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-pstore.service \
	systemd-random-seed.service systemd-hwdb-update.service ldconfig.service systemd-update-utmp.service \
	systemd-update-utmp-runlevel.service systemd-binfmt.service; do
	ln -sf /dev/null "systemd/system/$unit"
done

# The tests run as a service does, with a cgroup of their own that is not the root.
cat >systemd/system/carob-test.service <<'UNIT'
[Unit]
Description=carob's tests
After=multi-user.target dbus.service apparmor.service systemd-logind.service

[Service]
Type=exec
Environment=HOME=/root LC_ALL=C.UTF-8
ExecStart=/bin/sh /mnt/scripts/vm/guest.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity
TasksMax=infinity
FailureAction=reboot-force
UNIT
mkdir -p systemd/system/multi-user.target.wants
ln -s ../carob-test.service systemd/system/multi-user.target.wants/
cd "$dir"
truncate -s 4G root.img
mke2fs -q -t ext4 -F -m 0 -O '^metadata_csum' -E lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0 -d "$tree" root.img
