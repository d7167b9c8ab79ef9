package hostfile

import (
	"fmt"
	"os"
	"path/filepath"
)

// LogDir makes the directory of a log; none for a container without one.
func LogDir(log string) error {
	if log == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	return nil
}
