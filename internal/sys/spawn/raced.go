//go:build race

package spawn

// raced says that the race detector watches: what calls a Go function from assembly calls
// the detector, too, which a child that shares memory must not.
const raced = true
