package criu

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/sys/procfs"
	"carob/internal/sys/task"
)

// Await returns when no criu is at work on a process any more: one whose daemon has died
// comes to its end by itself. A debugger is not waited for.
func Await(ctx context.Context, pid int) error {
	tracer, err := tracerOf(pid)
	if tracer == 0 || err != nil {
		return err
	}
	id, _, err := task.Find(tracer)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := id.Open()
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for ctx.Err() == nil {
		const millis = 100 // between two looks at ctx
		if ended, err := task.AwaitEnd(f, millis); ended || err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// tracerOf is the criu that traces a process, 0 for none.
func tracerOf(pid int) (int, error) {
	var text bytes.Buffer
	if err := procfs.File("/proc/"+strconv.Itoa(pid)+"/status", &text); err != nil {
		return 0, gone(err)
	}
	tracer := traced(text.String())
	if tracer == 0 {
		return 0, nil
	}
	text.Reset()
	err := procfs.File("/proc/"+strconv.Itoa(tracer)+"/comm", &text)
	if err != nil || strings.TrimSpace(text.String()) != "criu" {
		return 0, gone(err)
	}
	return tracer, nil
}

// traced reads TracerPid of /proc/PID/status.
func traced(status string) int {
	_, rest, _ := strings.Cut(status, "\nTracerPid:")
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(line)) // the kernel writes a number
	return n
}

func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
