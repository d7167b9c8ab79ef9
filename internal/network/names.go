package network

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
)

// names are what an instance calls its things.
type names struct {
	table  string
	prefix string // of links
	first  uint32 // where it begins in the pools, so that instances seldom meet
}

func namesOf(instance string) names {
	if instance == "" {
		return names{table: "carob", prefix: "carob"}
	}
	sum := sha256.Sum256([]byte(instance))
	id := letters(sum[:])[:6]
	return names{table: "carob-" + id, prefix: "cx" + id, first: 1 + binary.NativeEndian.Uint32(sum[8:])>>1}
}

// link returns a new name: 15 bytes at most (IFNAMSIZ), the end by chance, since the
// link of a pod's last life may still be there.
func (n names) link() string {
	const longest = 15
	var b [8]byte
	_, _ = rand.Read(b[:])
	return (n.prefix + letters(b[:]))[:longest]
}

func letters(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
