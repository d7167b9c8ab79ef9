// Package mountopt reads the options of an OCI mount: the table of the runtime
// specification ("Linux mount options", config.md), fstab's words and runc's. What it
// does not know belongs to the file system and is handed to it as it stands. It
// decides; package mount and the init stage do.
package mountopt

import (
	"slices"
	"strings"

	"carob/internal/fault"
)

// Attr are attributes of a mount, with the bits of mount_setattr(2)
// (include/uapi/linux/mount.h), which are the same on every architecture.
type Attr uint64

// The attributes. The three of Atime exclude one another; 0 of them is relatime.
const (
	ReadOnly    Attr = 0x1
	NoSuid      Attr = 0x2
	NoDev       Attr = 0x4
	NoExec      Attr = 0x8
	NoAtime     Attr = 0x10
	StrictAtime Attr = 0x20
	Atime       Attr = 0x70 // the mask
	NoDirAtime  Attr = 0x80
	NoSymFollow Attr = 0x200000
)

// IDMap says whether and how a bind mount takes on a user namespace's mapping.
type IDMap uint8

// The ways of mapping.
const (
	Unmapped   IDMap = iota
	Mapped           // "idmap": the mount itself
	MappedTree       // "ridmap": with what is mounted below it
)

// Options is what the options of one mount say.
type Options struct {
	// Set and Clear change the mount itself, SetTree and ClearTree also what is mounted
	// below it ("rro" and its like).
	Set, Clear, SetTree, ClearTree Attr
	// Propagation is "", private, slave, shared or unbindable, PropagationTree the
	// recursive one.
	Propagation, PropagationTree string
	// Bind and Tree are "bind" and "rbind"; Remount changes what is mounted already.
	Bind, Tree, Remount bool
	// CopyUp fills a tmpfs with what it covers.
	CopyUp bool
	IDMap  IDMap
	// Data is for the file system, in order.
	Data []string
}

// attribute is what one word does: it sets bits, or clears them.
type attribute struct {
	bits  Attr
	clear bool
}

// words are a pair that sets and clears attributes.
type words struct {
	set, clear string
	bits       Attr
}

// attributes is an array and not a map, which would be made anew for each of a dozen
// mounts.
func attributes() [9]words {
	return [...]words{
		{"ro", "rw", ReadOnly},
		{"nosuid", "suid", NoSuid},
		{"nodev", "dev", NoDev},
		{"noexec", "exec", NoExec},
		{"noatime", "atime", NoAtime},
		{"strictatime", "nostrictatime", StrictAtime},
		{"relatime", "norelatime", 0},
		{"nodiratime", "diratime", NoDirAtime},
		{"nosymfollow", "symfollow", NoSymFollow},
	}
}

func attributeOf(word string) (attribute, bool) {
	for _, k := range attributes() {
		if word == k.set || word == k.clear {
			return attribute{k.bits, word == k.clear}, true
		}
	}
	return attribute{}, false
}

// Parse reads options. Those that contradict each other count from left to right, as
// mount(8) has it. fault.Invalid names an option that must not be there.
func Parse(options []string) (o Options, err error) {
	for _, word := range options {
		if a, ok := attributeOf(word); ok {
			apply(a, &o.Set, &o.Clear)
			continue
		}
		if a, ok := attributeOf(strings.TrimPrefix(word, "r")); ok && word[0] == 'r' {
			apply(a, &o.SetTree, &o.ClearTree)
			continue
		}
		o.word(word)
	}
	if o.Bind && o.Tree {
		o.Bind = false
	}
	for _, d := range o.Data {
		if strings.ContainsRune(d, 0) {
			return o, fault.New(fault.Invalid, "options: a NUL byte")
		}
	}
	return o, nil
}

func apply(a attribute, set, clear *Attr) {
	if a.bits&Atime != 0 || a.bits == 0 { // one of three, none being relatime
		*set &^= Atime
		*clear |= Atime
	}
	if a.clear {
		*set &^= a.bits
		*clear |= a.bits
		return
	}
	*set |= a.bits
	if a.bits&Atime == 0 {
		*clear &^= a.bits
	}
}

func (o *Options) word(word string) {
	switch word {
	case "", "defaults", "async", "nomand", "nolazytime", "noiversion", "loud":
	case "bind":
		o.Bind = true
	case "rbind":
		o.Tree = true
	case "remount":
		o.Remount = true
	case "tmpcopyup":
		o.CopyUp = true
	case "idmap":
		o.IDMap = max(o.IDMap, Mapped)
	case "ridmap":
		o.IDMap = MappedTree
	case "private", "slave", "shared", "unbindable":
		o.Propagation = word
	case "rprivate", "rslave", "rshared", "runbindable":
		o.PropagationTree = word[1:]
	default:
		o.Data = append(o.Data, word)
	}
}

// Take removes from the data those that begin with a prefix and returns what follows
// the prefix in each.
func (o *Options) Take(prefix string) (values []string) {
	o.Data = slices.DeleteFunc(o.Data, func(d string) bool {
		v, ok := strings.CutPrefix(d, prefix)
		if ok {
			values = append(values, v)
		}
		return ok
	})
	return values
}

// Names lists every option that Parse gives a meaning, sorted: for `features`.
func Names() []string {
	out := []string{
		"async", "bind", "defaults", "idmap", "loud", "noiversion", "nolazytime", "nomand", "private", "rbind", "remount",
		"ridmap", "rprivate", "rshared", "rslave", "runbindable", "shared", "slave", "tmpcopyup", "unbindable",
	}
	for _, k := range attributes() {
		out = append(out, k.set, k.clear, "r"+k.set, "r"+k.clear)
	}
	slices.Sort(out)
	return out
}
