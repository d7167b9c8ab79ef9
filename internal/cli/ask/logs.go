package ask

import (
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"carob/internal/spec"
)

// logs translates --log-driver and --log-opt. There is one kind of log, whose format is the
// CRI's; Docker's names of drivers that write files, and podman's, mean that.
func logs(driver string, options []string) (l spec.Log, err error) {
	switch driver {
	case "", "json-file", "local", "k8s-file":
	case "none":
		l.Off = true
	default:
		return l, bad("log-driver", driver, "want json-file, local, k8s-file, which all mean a file in the CRI's format, or none")
	}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		if l.Off {
			return l, bad("log-opt", o, "there is no log with --log-driver none")
		}
		if wrong := logOption(&l, key, value); wrong != "" {
			return l, bad("log-opt", o, wrong)
		}
	}
	if l.MaxSize == spec.NoLogLimit && l.MaxFiles > 1 {
		return l, clash("log-opt", "max-file goes with a max-size only")
	}
	return l, nil
}

// logOption takes one option; it returns what is wrong with it.
func logOption(l *spec.Log, key, value string) (wrong string) {
	switch key {
	case "max-size":
		n, err := units.RAMInBytes(value)
		if value == "-1" {
			n, err = spec.NoLogLimit, nil
		} else if err != nil || n < spec.MinLogSize {
			return "want a size of 4k or more, a number with b, k, m, g, or -1 for no bound"
		}
		l.MaxSize = n
	case "max-file":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > spec.MostLogFiles {
			return "want a number from 1 to " + strconv.Itoa(spec.MostLogFiles)
		}
		l.MaxFiles = n
	default:
		return "unknown option; want max-size=SIZE, max-file=N"
	}
	return ""
}
