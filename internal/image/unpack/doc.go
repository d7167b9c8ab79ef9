// Package unpack writes one layer, as it comes from a registry or an archive, below a
// directory in the form that overlayfs mounts. It checks the digests on the way and
// leaves a record from which the layer's tar can be made again (package retar).
//
// Trust: layers are hostile. The work of writing is containerd's; a guard sees every
// entry first and refuses what that library would repair. Everything is bounded by
// Limits. The package knows nothing of images and keeps nothing.
package unpack
