package registry

import (
	"errors"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"

	"carob/internal/fault"
	"carob/internal/image"
)

// TestPackFails: the scratch file goes with the error, and adds nothing to it.
func TestPackFails(t *testing.T) {
	var made *os.File
	u := &upload{scratch: func() (scratch, error) {
		var err error
		made, err = os.CreateTemp(t.TempDir(), "")
		return made, err
	}}
	_, _, err := u.pack(t.Context(), image.LayerTar{DiffID: digest.FromString("a layer that is not here")})
	if !fault.Is(err, fault.Unsupported) || errors.Is(err, os.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	if err := made.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file was open: %v", err)
	}
}
