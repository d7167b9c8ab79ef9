package task

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"strconv"
)

// Ask reads what a process's threads have as long as they have not ended: namespaces, a
// root. read is given /proc/PID, which shows the first thread, and while what it reads does
// not exist, the directories of the others. A process can have lost its first thread and go
// on: for good, or while it executes a program from another one.
func Ask[T any](pid int, read func(dir string) (T, error)) (v T, err error) {
	for dir := range dirs(pid) {
		if v, err = read(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return v, err
}

// dirs ends with the first thread again, whose place is taken by the one that executes a
// program (execve(2)).
func dirs(pid int) iter.Seq[string] {
	return func(yield func(string) bool) {
		dir := "/proc/" + strconv.Itoa(pid)
		if !yield(dir) {
			return
		}
		threads, _ := os.ReadDir(dir + "/task") // none, if the process has ended
		for _, t := range threads {
			if !yield(dir + "/task/" + t.Name()) {
				return
			}
		}
		if len(threads) > 0 {
			yield(dir)
		}
	}
}
