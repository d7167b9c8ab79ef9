// Package archive moves file trees in and out of a container as tar streams: what
// `carob cp` and the CRI-less part of the API need. It decides from paths alone what a copy
// means (Plan, pure), and reads and writes trees that a hostile container may
// change at the same time.
//
// Trust: the tree and the stream are both hostile. A tree is entered through one
// descriptor that openat2 resolved in the container's root, and from there only
// through os.Root, so no symbolic link and no ".." leads out; nothing of the
// container is loaded or executed (CVE-2019-14271, CVE-2026-41567,
// CVE-2026-41568); files are opened without blocking and checked to be regular
// afterwards. Device nodes are never made.
package archive

import (
	"archive/tar"
	"os"
)

// IDs maps owners between a tree and a stream: id N of the stream is Base+N in the
// tree, for N below Size. The zero value changes nothing. A tree seen from the host
// through a pod's id-mapped mount shows the host's ids.
type IDs struct{ Base, Size uint32 }

// overflow is what the kernel shows for an id that has no mapping.
const overflow = 65534

// stream returns the id a stream carries for an owner in the tree.
func (m IDs) stream(id uint32) int {
	switch {
	case m.Size == 0:
		return int(id)
	case id < m.Base || id-m.Base >= m.Size:
		return overflow
	}
	return int(id - m.Base)
}

// tree returns the owner in the tree for an id in a stream.
func (m IDs) tree(id int) int {
	switch {
	case m.Size == 0:
		return id
	case id < 0 || uint32(id) >= m.Size:
		return int(m.Base) + overflow
	}
	return int(m.Base) + id
}

// bare hides from package tar that there are user names to look up: the host's
// names mean nothing for a container's files.
type bare struct{ os.FileInfo }

func (bare) Uname() (string, error) { return "", nil }
func (bare) Gname() (string, error) { return "", nil }

var _ tar.FileInfoNames = bare{}
