#!/bin/sh
# selinux.sh FROM DIR: makes DIR/root.img and DIR/vmlinuz of those that recipe.sh has made in
# FROM: the same machine with SELinux enforcing Debian's policy, and container.cil's types for
# containers, which that lacks. vm.sh calls it in a mount namespace of its own. Needs root, a
# loop device and the network; leaves nothing else behind.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
from=$1 dir=$2
cp "$from/vmlinuz" "$dir/"
cp --sparse=always "$from/root.img" "$dir/"
tree=$dir/tree
mkdir "$tree"
mount -o loop "$dir/root.img" "$tree"
mount -t proc proc "$tree/proc" # setfiles names files by descriptors
cd "$tree"
cp /etc/resolv.conf etc/
cp -r /etc/apt/apt.conf.d/. etc/apt/apt.conf.d/
get() { DEBIAN_FRONTEND=noninteractive chroot . apt-get -qq -y -o Acquire::Retries=3 "$@" </dev/null >"$dir/log" 2>&1; }
get update || true # what that lacks, the next line says
get --no-install-recommends install selinux-policy-default || { cat "$dir/log"; exit 1; }
rm -rf var/cache/apt/archives/*.deb "$dir/log"
printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >etc/selinux/config
cp "$here/container.cil" var/tmp/
chroot . semodule -n -i /var/tmp/container.cil
chroot . setfiles -F /etc/selinux/default/contexts/files/file_contexts /
cd "$dir"
umount "$tree/proc" "$tree"
rmdir "$tree"
