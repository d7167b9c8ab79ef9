package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build puts a program of this module, "carob-pod", at a path: built from the sources
// as they are now where there is a Go toolchain, else the one in bin.
func Build(program, to string) error {
	if _, err := exec.LookPath("go"); err == nil {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, "carob/cmd/"+program)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", program, err, text)
		}
		return nil
	}
	dir, err := BinDir()
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	binary, err := os.ReadFile(filepath.Join(dir, program))
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return os.WriteFile(to, binary, 0o755)
}
