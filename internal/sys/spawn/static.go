//go:build !cgo

package spawn

// withC says that C's runtime may be linked in, as it is where a C compiler was at hand.
const withC = false
