//go:build amd64 || arm64

package spawn

// exitHandler returns the address of a signal handler that ends the process with 128 and
// the signal's number. It is no Go code: it needs no stack of Go's and no runtime.
//
//go:noescape
func exitHandler() uintptr
