package exe

// Entry is where the kernel begins a program that is linked with it. It executes the
// program anew as Protect does, and otherwise, or when that is not to be had, goes on to
// where a Go program begins.
func Entry()
