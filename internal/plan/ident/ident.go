// Package ident decides who a container runs as: user, groups and home directory
// from an image's USER and its passwd and group files, the capability sets, and a
// free range of ids for a user namespace. It opens no file; what it reads comes
// from images and is hostile: every read is bounded, every id must fit the kernel.
package ident

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
)

// maxFile bounds what is read of a passwd or group file (CVE-2026-47262: one that
// never ends), maxLine one line of it; a group of 10 000 members fits.
const (
	maxFile   = 4 << 20
	maxLine   = 256 << 10
	maxGroups = 65536 // NGROUPS_MAX
	maxID     = math.MaxInt32
)

// Identity is who a process is.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // supplementary, sorted, without GID unless the files name it
	Home     string   // "/" when unknown
	Name     string   // "" for an id without a passwd entry
}

// Wish is who a process is to run as.
type Wish struct {
	// User has one of Docker's forms: "", "uid", "name", "uid:gid", "name:group" and
	// their mixtures.
	User string
	// Groups are further ones, by name or number.
	Groups []string
	Policy spec.GroupsPolicy
}

// Plain tells whether the answer stands in no file: all are numbers, and nothing is to be
// added.
func (w Wish) Plain() bool {
	uid, gid, both := strings.Cut(w.User, ":")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return both && digits(uid) && digits(gid) && w.Policy != spec.GroupsMerge &&
		!slices.ContainsFunc(w.Groups, func(g string) bool { return !digits(g) })
}

// Lookup resolves Docker's USER forms: "", "uid", "name", "uid:gid", "name:group"
// and their mixtures; "" is uid 0. Digits are always an id, never a name. Without
// an explicit group the user's own and all groups that list the name count;
// with one, only that, unless the policy says otherwise. The readers may be nil
// for an absent file. An id above 2^31-1 is fault.Invalid, not wrapped or
// truncated (CVE-2024-40635, CVE-2026-46680), an unknown name fault.NotFound.
func Lookup(w Wish, passwd, group io.Reader) (Identity, error) {
	user, extra := w.User, w.Groups
	name, groupArg, explicit := strings.Cut(user, ":")
	if explicit && strings.Contains(groupArg, ":") {
		return Identity{}, fault.New(fault.Invalid, fmt.Sprintf("user %.80q: is not of the form user:group", user))
	}
	id, err := lookupUser(name, passwd)
	if err != nil {
		return Identity{}, err
	}
	wanted := slices.Clone(extra)
	if groupArg != "" {
		wanted = append(wanted, groupArg)
	}
	found, member, err := scanGroups(group, wanted, id.Name)
	if err != nil {
		return Identity{}, err
	}
	if groupArg != "" {
		if id.GID, err = resolve("group", groupArg, found); err != nil {
			return Identity{}, err
		}
	}
	id.Groups = w.ofImage(member, id.GID, groupArg != "")
	for _, g := range extra {
		gid, err := resolve("group", g, found)
		if err != nil {
			return Identity{}, err
		}
		id.Groups = append(id.Groups, gid)
	}
	slices.Sort(id.Groups)
	id.Groups = slices.Compact(id.Groups)
	if len(id.Groups) > maxGroups {
		return Identity{}, fault.New(fault.Invalid, fmt.Sprintf("user %s: %d groups are more than the kernel takes", user, len(id.Groups)))
	}
	return id, nil
}

// ofImage is which of the image's groups count: those that list the user, and the
// primary one.
func (w Wish) ofImage(member []uint32, primary uint32, explicit bool) []uint32 {
	switch {
	case w.Policy == spec.GroupsStrict:
		return []uint32{primary}
	case w.Policy == spec.GroupsMerge:
		return append(member, primary)
	case explicit:
		return nil
	}
	return member
}

// number parses an id. Only digits are one; what looks like a number but is none
// the kernel takes (a sign, too large) is refused rather than taken for a name.
func number(what, s string) (id uint32, ok bool, err error) {
	digits := strings.TrimLeft(s, "+-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > maxID {
		return 0, false, fault.New(fault.Invalid, fmt.Sprintf("%s %.80q: is not between 0 and %d", what, s, maxID))
	}
	return uint32(n), true, nil
}

func resolve(what, s string, names map[string]uint32) (uint32, error) {
	id, ok, err := number(what, s)
	if err != nil || ok {
		return id, err
	}
	if id, ok := names[s]; ok {
		return id, nil
	}
	return 0, fault.New(fault.NotFound, fmt.Sprintf("%s %.80q: no such name in the image", what, s))
}

func lookupUser(name string, passwd io.Reader) (Identity, error) {
	if name == "" {
		name = "0"
	}
	uid, numeric, err := number("user", name)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{UID: uid, Home: "/"}
	found := false
	err = lines("passwd", passwd, func(f []string) bool {
		if len(f) < 4 || f[0] == "" {
			return true
		}
		u, ok, err := number("user", f[2])
		if err != nil || !ok || (numeric && u != uid) || (!numeric && f[0] != name) {
			return true
		}
		g, ok, err := number("group", f[3])
		if err != nil || !ok {
			return true
		}
		id.UID, id.GID, id.Name, found = u, g, f[0], true
		if len(f) > 5 {
			id.Home = home(f[5])
		}
		return false
	})
	if err != nil {
		return Identity{}, err
	}
	if !found && !numeric {
		return Identity{}, fault.New(fault.NotFound, fmt.Sprintf("user %.80q: no such name in the image's /etc/passwd", name))
	}
	return id, nil
}

// home returns a directory that is safe to put into an environment, a file or a
// line of /etc/passwd: no control characters, above all no newline and no
// colon (CVE-2022-4318 and CVE-2026-15809), and absolute.
func home(s string) string {
	unsafe := func(r rune) bool {
		return r < ' ' || r == 0x7f || r == ':' || r == '\u0085' || r == '\u2028' || r == '\u2029' || r == 0xfffd
	}
	if !strings.HasPrefix(s, "/") || len(s) > 4095 || strings.ContainsFunc(s, unsafe) {
		return "/"
	}
	return s
}

// CheckHome tells whether a HOME that somebody asked for may be used as a home
// directory in /etc/passwd; fault.Invalid if not.
func CheckHome(s string) error {
	if home(s) != s {
		return fault.New(fault.Invalid, fmt.Sprintf("home %.80q: is not an absolute path without control characters and colons", s))
	}
	return nil
}

// scanGroups returns the gids of the wanted names and those of all groups that
// list member. The first line of a name counts, as in getgrnam(3).
func scanGroups(r io.Reader, wanted []string, member string) (map[string]uint32, []uint32, error) {
	found := map[string]uint32{}
	var groups []uint32
	err := lines("group", r, func(f []string) bool {
		if len(f) < 3 || f[0] == "" {
			return true
		}
		gid, ok, err := number("group", f[2])
		if err != nil || !ok {
			return true
		}
		if _, have := found[f[0]]; !have && slices.Contains(wanted, f[0]) {
			found[f[0]] = gid
		}
		if member != "" && len(f) > 3 && slices.Contains(strings.Split(f[3], ","), member) {
			groups = append(groups, gid)
		}
		return len(groups) <= maxGroups
	})
	return found, groups, err
}

// lines calls f with the colon-separated fields of each line until it returns
// false. Comments and lines that are too long to be honest end in an error or
// are skipped, never cut: half a line is another user.
func lines(what string, r io.Reader, f func([]string) bool) error {
	if r == nil {
		return nil
	}
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	s := bufio.NewScanner(limited)
	s.Buffer(make([]byte, 0, 4096), maxLine)
	for s.Scan() {
		if limited.N <= 0 {
			break
		}
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if !f(strings.Split(line, ":")) {
			return nil
		}
	}
	if err := s.Err(); err != nil {
		return fault.Wrap(fault.Invalid, "the image's /etc/"+what, err)
	}
	if limited.N <= 0 {
		return fault.New(fault.Invalid, fmt.Sprintf("the image's /etc/%s: is larger than %d bytes", what, maxFile))
	}
	return nil
}
