package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// stopDaemon ends the daemon that the first command of this bench started: the
// process that runs our binary and has our directory in its environment.
func (b *bench) stopDaemon() error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		exe, _ := os.Readlink(d + "/exe")
		env, _ := os.ReadFile(d + "/environ")
		if exe != filepath.Join(b.bin, "carob") || !strings.Contains(string(env), b.dir) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			return err
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		if err := p.Signal(os.Interrupt); err != nil {
			return fmt.Errorf("daemon %d: %w", pid, err)
		}
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(d); err != nil {
				return nil
			}
		}
		return fmt.Errorf("daemon %d does not end", pid)
	}
	return nil
}
