package world

import (
	"os"

	"carob/internal/fault"
	"carob/internal/sys/selinux"
)

// MayLabel refuses an SELinux label that a field asks for, in runc's words, where the host
// knows none.
func MayLabel(field, label string) error {
	if label == "" || selinux.Enabled() {
		return nil
	}
	return fault.New(fault.Unsupported, field+": selinux label is specified in config, but selinux is disabled or not supported")
}

// Relabel gives a source, and all in it, an SELinux label.
func Relabel(source *os.File, label string) error { return selinux.Relabel(source, label) }

// Label does so where the source itself has another label.
func Label(source *os.File, label string) error {
	if selinux.Labelled(source, label) {
		return nil
	}
	return selinux.Relabel(source, label)
}
