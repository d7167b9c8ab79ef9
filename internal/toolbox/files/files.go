// Package files is the toolbox's tools for files, directories and mounts. A tool goes
// on after an operand that failed, names it, and ends with a code other than 0.
package files

import (
	"fmt"
	"path/filepath"
	"strings"

	"carob/internal/toolbox/tool"
)

// Tools lists the package's tools.
func Tools() []tool.Tool {
	return []tool.Tool{
		{Name: "basename", Usage: "PATH [SUFFIX]", Does: "print the last part of a path", Run: basename},
		{Name: "cat", Usage: "[-nu] [FILE]...", Does: "print files one after the other", Run: cat},
		{Name: "chgrp", Usage: "[-Rh] GROUP FILE...", Does: "change the group of files", Run: chgrp},
		{Name: "chmod", Usage: "[-R] MODE FILE...", Does: "change permissions: 644, u+x, go-w, a=rX", Run: chmod},
		{Name: "chown", Usage: "[-Rh] USER[:GROUP] FILE...", Does: "change the owner of files", Run: chown},
		{Name: "cp", Usage: "[-rapdLPfnv] SOURCE... DESTINATION", Does: "copy files and directories", Run: cp},
		{Name: "dd", Usage: "[if=FILE] [of=FILE] [bs=N] [count=N] [skip=N] [seek=N] [conv=notrunc,fsync] [status=none]", Does: "copy blocks", Run: dd},
		{Name: "df", Usage: "[-hkTaP] [FILE]...", Does: "show the space of file systems", Run: df},
		{Name: "dirname", Usage: "PATH", Does: "print a path without its last part", Run: dirname},
		{Name: "du", Usage: "[-sahkxc] [-d DEPTH] [FILE]...", Does: "show the space that files take", Run: du},
		{Name: "find", Usage: "[PATH]... [EXPRESSION]", Does: "find files: " + findWords, Run: find},
		{Name: "ln", Usage: "[-sfnv] TARGET... LINK", Does: "make links", Run: ln},
		{Name: "ls", Usage: "[-1aAdFhilnprRStC] [FILE]...", Does: "list files", Misused: 2, Run: ls},
		{Name: "mkdir", Usage: "[-pv] [-m MODE] DIRECTORY...", Does: "make directories", Run: mkdir},
		{Name: "mknod", Usage: "[-m MODE] NAME b|c|u MAJOR MINOR, or NAME p", Does: "make a device node or a named pipe", Run: mknod},
		{Name: "mkfifo", Usage: "[-m MODE] NAME...", Does: "make named pipes", Run: mkfifo},
		{Name: "mktemp", Usage: "[-dqu] [-p DIRECTORY] [TEMPLATE]", Does: "make a file or directory of a new name", Run: mktemp},
		{Name: "mount", Usage: "[-r] [-t TYPE] [-o OPTIONS] [SOURCE TARGET]", Does: "mount a file system, or list what is mounted", Run: mount},
		{Name: "mv", Usage: "[-fnv] SOURCE... DESTINATION", Does: "move or rename files", Run: mv},
		{Name: "readlink", Usage: "[-fn] FILE...", Does: "print where links lead", Run: readlink},
		{Name: "realpath", Usage: "FILE...", Does: "print absolute paths without links", Run: realpath},
		{Name: "rm", Usage: "[-rfidv] FILE...", Does: "remove files and directories", Run: rm},
		{Name: "rmdir", Usage: "[-p] DIRECTORY...", Does: "remove empty directories", Run: rmdir},
		{Name: "stat", Usage: "[-L] [-c FORMAT] FILE...", Does: "show what the kernel knows of files", Run: stat},
		{Name: "sync", Does: "write cached data to the disks", Run: syncAll},
		{Name: "touch", Usage: "[-acm] [-r FILE] [-d TIME] FILE...", Does: "make files, or change their times", Run: touch},
		{Name: "truncate", Usage: "[-c] -s SIZE FILE...", Does: "set the size of files", Run: truncate},
		{Name: "umount", Usage: "[-lf] TARGET...", Does: "unmount file systems", Run: umount},
	}
}

func basename(c *tool.Call) (int, error) {
	_, rest, err := c.Operands(1, 2, "")
	if err != nil {
		return 0, err
	}
	name := filepath.Base(rest[0])
	if len(rest) > 1 && name != rest[1] {
		name = strings.TrimSuffix(name, rest[1])
	}
	_, err = fmt.Fprintln(c.Out, name)
	return 0, err
}

func dirname(c *tool.Call) (int, error) {
	_, rest, err := c.Operands(1, -1, "")
	if err != nil {
		return 0, err
	}
	return 0, c.Each(rest, func(path string) error {
		path = strings.TrimRight(path, "/")
		if path == "" {
			path = "/"
		}
		_, err := fmt.Fprintln(c.Out, filepath.Dir(path))
		return err
	})
}
