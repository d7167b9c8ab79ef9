// This file is empty: its presence lets run_unsafe.go declare functions without
// bodies, which go:linkname binds to the runtime.
