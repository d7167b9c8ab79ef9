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
// process that runs our binary and was told our directory.
func (b *bench) stopDaemon() error {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		exe, _ := os.Readlink(d + "/exe")
		args, _ := os.ReadFile(d + "/cmdline")
		if exe != filepath.Join(b.bin, "carobd") || !strings.Contains(string(args), b.runDir) {
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
			if _, err := os.Readlink(d + "/exe"); err != nil { // gone, or waiting to be collected
				return nil
			}
		}
		return fmt.Errorf("daemon %d does not end", pid)
	}
	return nil
}
