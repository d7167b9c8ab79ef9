package cri

import (
	"bytes"
	"strconv"

	"carob/internal/cri/shown"
	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/procfs"
)

// readLinks reads the counters of the interfaces in a pod's network namespace, by the
// process that holds it.
func readLinks(p status.Pod) ([]shown.Link, error) {
	var text bytes.Buffer
	err := procfs.File("/proc/"+strconv.Itoa(p.Pid)+"/net/dev", &text)
	if fault.Is(err, fault.NotFound) {
		return nil, nil // it ended meanwhile
	}
	if err != nil {
		return nil, err
	}
	return shown.ParseLinks(text.Bytes()), nil
}
