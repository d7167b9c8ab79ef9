// Package image keeps images: names over unpacked layers, and the writable
// directories of the root filesystems made from them. It mounts nothing but whole images
// for people to look at (HostMounts): NewRootfs returns a plan. It speaks to nobody: every
// image comes from an archive or a directory on this machine, or is handed in layer by
// layer (Intake). Package registry below it pulls and pushes.
//
// On disk, below the root (0700; whoever mounts layers opens them by fd):
//
//	index.json                     names, images, sizes: the only truth, replaced by rename
//	configs/<hex of ID>.json       an image's configuration, byte for byte
//	configs/<hex of ID>.manifest.json  the manifest a registry gave for it, byte for byte
//	layers/<hex of chain ID>/      an unpacked layer, ready to be an overlay lowerdir
//	tars/<hex of chain ID>         what the layer's tar had besides its files' content: see retar
//	rootfs/<container>/image       symbolic link whose text is the image's ID
//	rootfs/<container>/mounted/    such links, for images that the container mounts
//	rootfs/<container>/{upper,work}
//	base/                          the lowest lowerdir of every rootfs: where /etc/hosts and others are mounted
//	mounts/<hex of ID>/            where HostMounts mounts the image
//	mounts/nothing/                an empty directory
//	partial/                       downloads under way: see that package
//	tmp/                           imports under way, trees being removed
//
// Layers are kept by chain ID, not by diff ID: a layer that omits a parent
// directory's entry takes its mode and owner from the layers below it.
//
// Crash rule: a layer is unpacked below tmp and renamed; all layers are flushed at
// once, then an image exists from the moment the index naming it is renamed into
// place. Whatever the index does not name is litter: Open sets such layers aside, since
// nobody knows whether they were flushed, and Sweep removes them. Starting a
// container from a present image hashes, copies and flushes nothing.
//
// Concurrency: List and Resolve read a snapshot and wait for nobody. Lock order:
// Store.ensure, then Store.mu, then holds.mu or tenants.mu. Store.mu is held while the index is written, never while
// a layer is unpacked or removed. One process owns a root at a time; its caller
// sees to that.
//
// Trust: archives are hostile. Names that climb, entries below symbolic links that
// leave the tree, wrong digests, and sizes beyond the limits are refused, and
// nothing of a refused archive stays.
package image
