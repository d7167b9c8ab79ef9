// Package apparmor tells which AppArmor profiles the kernel has, and loads the one that
// containers have which ask for none: Docker's, by a name of carob's own. Others are the
// administrator's, or an operator's.
package apparmor

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	moby "github.com/moby/profiles/apparmor"

	"carob/internal/fault"
)

// list is the kernel's, where securityfs is mounted; root reads it.
const list = "/sys/kernel/security/apparmor/profiles"

// Check refuses, as a Conflict, a profile that is not loaded. What cannot be seen it lets
// pass, for execve refuses it later: a host without securityfs, stacks of profiles
// ("a//&b"), and profiles of another policy namespace (":ns:a").
func Check(profile string) error {
	if strings.Contains(profile, "//&") || strings.HasPrefix(profile, ":") {
		return nil
	}
	f, err := os.Open(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	loaded, err := find(f, profile)
	if err == nil && !loaded {
		err = fault.New(fault.Conflict, "is not loaded (aa-status lists those that are)")
	}
	return err
}

// LoadDefault has the kernel know the default profile by this name, until the machine
// starts again. It runs apparmor_parser, which Debian's and Ubuntu's package apparmor has, and
// needs securityfs.
func LoadDefault(name string) error {
	if loaded, err := moby.IsLoaded(name); loaded || err != nil {
		return err
	}
	return moby.InstallDefault(name)
}

// find looks for a profile among the kernel's lines, "NAME (MODE)". A name may have
// blanks and brackets of its own.
func find(r io.Reader, profile string) (bool, error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if i := strings.LastIndex(lines.Text(), " ("); i >= 0 && lines.Text()[:i] == profile {
			return true, nil
		}
	}
	return false, lines.Err()
}
