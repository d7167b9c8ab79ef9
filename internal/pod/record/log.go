package record

import (
	"carob/internal/logfile"
	"carob/internal/status"
)

// Log is where a container's output goes.
func Log(c *status.Container) logfile.Log {
	size, files := c.Spec.LogBounds()
	return logfile.Log{Path: c.LogPath, Size: size, Files: files}
}
