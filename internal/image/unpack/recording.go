package unpack

import (
	"archive/tar"
	"errors"
	"os"
	"path"
	"strings"

	"carob/internal/image/retar"
)

// RecordSuffix, after the name of a tree that is being unpacked, names its record.
const RecordSuffix = ".tar"

// recording writes the record of a layer while the layer is unpacked.
type recording struct {
	*retar.Recorder
	f *os.File
}

func newRecording(name string) (*recording, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	r, err := retar.NewRecorder(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &recording{r, f}, nil
}

func (r *recording) close() error { return errors.Join(r.Recorder.Close(), r.f.Close()) }

// beside returns the guard's check, which also says which contents the tree will
// have. The unpacker asks it when it has read an entry's header and nothing of its
// content.
func (r *recording) beside(g *guard) func(*tar.Header) (bool, error) {
	return func(h *tar.Header) (bool, error) {
		wanted, err := g.check(h)
		if err != nil || !wanted {
			return wanted, err
		}
		if h.Typeflag == tar.TypeGNUSparse {
			h.Typeflag = tar.TypeReg // package tar fills the holes; the unpacker does not know the old type
			return true, nil
		}
		if !kept(h) {
			return true, nil
		}
		name, err := Inside(h.Name)
		if err != nil {
			return false, err
		}
		return true, r.File(name, h.Size)
	}
}

// kept tells whether the tree will have this entry's content, byte for byte as it
// stands in the tar. A sparse one stands there without its holes, and what is
// called like a whiteout is not written.
func kept(h *tar.Header) bool {
	if h.Typeflag != tar.TypeReg || h.Size == 0 || strings.HasPrefix(path.Base(h.Name), ".wh.") {
		return false
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return false
		}
	}
	return true
}
