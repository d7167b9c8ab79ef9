package exe

// Slack is the timer slack that this process was started with, in nanoseconds, if Entry has
// given it another one, and 0 if not. What it starts must have it back.
func Slack() uint64

// Entry is where the kernel begins a program that is linked with it. It executes the
// program anew as Protect does, and otherwise, or when that is not to be had, goes on to
// where a Go program begins.
func Entry()
