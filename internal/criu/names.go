package criu

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"carob/internal/fault"
)

// utsHeader is what an image of a UTS namespace begins with: the magic numbers of images
// that have a header, and of this one (criu's include/magic.h).
const utsHeader = 0x5447320354564319

// Rename replaces the names of the host in the images by others: a UTS namespace that a
// container joins has its names, and criu would set those of the images all the same.
func Rename(images, host, domain string) error {
	all, err := filepath.Glob(filepath.Join(images, "utsns-*.img"))
	if err != nil {
		return err
	}
	entry := []byte{}
	for i, word := range []string{host, domain} {
		if len(word) > 64 { // the kernel's own bound
			return fault.New(fault.Invalid, fmt.Sprintf("host name %.80q: too long", word))
		}
		entry = append(append(entry, byte(i+1)<<3|2, byte(len(word))), word...) // protobuf: a field, its length
	}
	text := binary.LittleEndian.AppendUint64(nil, utsHeader)
	text = append(binary.LittleEndian.AppendUint32(text, uint32(len(entry))), entry...)
	for _, name := range all {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
