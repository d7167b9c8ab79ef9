package name

import (
	"crypto/rand"
	"encoding/hex"
)

// NewID returns 64 random hexadecimal digits. crypto/rand never fails on Linux
// (it ends the program instead).
func NewID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
