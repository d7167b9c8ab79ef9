package launch

import "path/filepath"

// RunDir is the daemon's run directory: what CAROB_RUN says, else /run/carob.
func RunDir(getenv func(string) string) string { return place(getenv("CAROB_RUN"), "/run/carob") }

// Socket is the daemon's socket: what CAROB_SOCKET says, else the one in its run directory.
func Socket(getenv func(string) string) string {
	return place(getenv("CAROB_SOCKET"), filepath.Join(RunDir(getenv), SocketName))
}

func place(said, otherwise string) string {
	if said == "" {
		return otherwise
	}
	return Absolute(said)
}

// Absolute is a path from here: the daemon that is started works from the root.
func Absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path // there is no working directory; the daemon says so
}
