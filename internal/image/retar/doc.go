// Package retar makes the tar of a layer again, byte for byte, after the layer has
// been unpacked. While it is unpacked, a Recorder writes down what the directory will
// not tell: headers as they stood, padding, the end mark, and the place of each
// file's content. Write puts both together. A digest of the tar can then be promised
// without keeping the tar.
//
// A record is a zstd stream:
//
//	"carob-retar-1\n"
//	bytes  uvarint length, bytes       what stood before the next file's content
//	name   uvarint length, bytes       that file, relative to the layer; length 0 when there is none
//	size   uvarint                     of its content, which is not in the record
//	… and again from bytes on
//
// The package decides nothing about layers: who records says which content the
// directory will hold. It checks sizes only; a digest over all is the caller's.
package retar

const (
	magic = "carob-retar-1\n"
	// maxBytes ends a run of bytes, so that neither side holds more in memory.
	maxBytes = 64 << 10
	// maxName is beyond every path: the kernel's limit for one is 4096, and package tar
	// refuses long-name entries beyond a megabyte.
	maxName = 1 << 20
)
