package criu

import (
	"os"
	"slices"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"

	"carob/internal/fault"
)

// Options say what is written down or made again, and how. Files stay the caller's.
type Options struct {
	// Images is the directory of the images, Work that of the log; nil is Images.
	Images, Work *os.File
	// Root is the mount of the root file system.
	Root string
	// Mounts are external mounts, by where they are inside: where they are outside for a
	// restore, anything for a dump.
	Mounts map[string]string
	// External are other external things, as criu(8) has them: "net[INODE]:KEY".
	External []string
	// Inherit are the files that a restore gives for external ones, by their keys.
	Inherit map[string]*os.File
	// Streams are the keys for which a restore gives criu's own standard streams, "" for none.
	Streams [3]string
	// Join are namespaces that are joined and not made again: a kind, as in /proc/PID/ns, and
	// a path.
	Join map[string]string
	// Groups are where cgroups are made again: a controller and a path in its hierarchy.
	// GroupMode is how, in criu's words: soft, full, strict, ignore; "" is criu's default.
	Groups    map[string]string
	GroupMode string
	// Freezer is the directory of the cgroup with which the processes are stopped.
	Freezer string
	// EmptyNet says that the network namespace is made again without what is in it.
	EmptyNet bool
	// Parent is the directory of an earlier pre-dump, relative to Images.
	Parent string
	// PageServer is who takes the pages of memory: an address and a port.
	PageServer string
	Port       int32
	// LSMProfile and LSMMountContext replace what is written down.
	LSMProfile, LSMMountContext string
	// Sibling makes the first process a child of criu's parent.
	Sibling bool
	// Held makes criu wait for ever when whoever speaks with it has died: otherwise it lets go
	// on what it has made, whatever that is. Somebody else has to kill it then.
	Held bool

	LeaveRunning, TCPEstablished, TCPSkipInFlight, TCPClose, ExternalUnix, ShellJob, FileLocks,
	LinkRemap, AutoDedup, LazyPages bool
}

// cloneNewNet is CLONE_NEWNET, in which rpc.proto counts empty_ns.
const cloneNewNet = 0x40000000

func groupMode(word string) (rpc.CriuCgMode, error) {
	modes := map[string]rpc.CriuCgMode{
		"": rpc.CriuCgMode_DEFAULT, "soft": rpc.CriuCgMode_SOFT, "full": rpc.CriuCgMode_FULL,
		"strict": rpc.CriuCgMode_STRICT, "ignore": rpc.CriuCgMode_IGNORE,
	}
	mode, ok := modes[word]
	if !ok {
		return 0, fault.New(fault.Invalid, "manage-cgroups-mode: "+word+" is none of soft, full, strict, ignore")
	}
	return mode, nil
}

// own is a file's number in this process: criu opens the directories by /proc/PID/fd of
// whoever has made its socket.
func own(f *os.File) *int32 { return new(int32(f.Fd())) }

// options translates, and lists the files that criu is started with, from the number
// first on.
func (o *Options) options(log string, first int) (*rpc.CriuOpts, []*os.File, error) {
	mode, err := groupMode(o.GroupMode)
	if err != nil {
		return nil, nil, err
	}
	var files []*os.File
	pass := func(f *os.File) *int32 {
		files = append(files, f)
		return new(int32(first + len(files) - 1))
	}
	r := &rpc.CriuOpts{
		ImagesDirFd: own(o.Images), LogLevel: new(int32(4)), LogFile: &log,
		NotifyScripts: new(true), ManageCgroups: new(true), ManageCgroupsMode: &mode, External: o.External,
		EvasiveDevices: new(true), OrphanPtsMaster: new(true), RstSibling: &o.Sibling,
		LeaveRunning: &o.LeaveRunning, TcpEstablished: &o.TCPEstablished, TcpSkipInFlight: &o.TCPSkipInFlight, TcpClose: &o.TCPClose,
		ExtUnixSk: &o.ExternalUnix, ShellJob: &o.ShellJob, FileLocks: &o.FileLocks, LinkRemap: &o.LinkRemap,
		AutoDedup: &o.AutoDedup, LazyPages: &o.LazyPages,
	}
	if o.Work != nil {
		r.WorkDirFd = own(o.Work)
	}
	if o.EmptyNet {
		r.EmptyNs = new(uint32(cloneNewNet))
	}
	for to, word := range map[**string]string{
		&r.Root: o.Root, &r.FreezeCgroup: o.Freezer, &r.ParentImg: o.Parent, &r.LsmProfile: o.LSMProfile, &r.LsmMountContext: o.LSMMountContext,
	} {
		if word != "" {
			*to = &word
		}
	}
	if o.Parent != "" {
		r.TrackMem = new(true)
	}
	if o.PageServer != "" {
		r.Ps = &rpc.CriuPageServerInfo{Address: &o.PageServer, Port: &o.Port}
	}
	o.lists(r, pass)
	return r, files, nil
}

func (o *Options) lists(r *rpc.CriuOpts, pass func(*os.File) *int32) {
	for inside, outside := range sorted(o.Mounts) {
		r.ExtMnt = append(r.ExtMnt, &rpc.ExtMountMap{Key: &inside, Val: &outside})
	}
	for key, f := range sorted(o.Inherit) {
		r.InheritFd = append(r.InheritFd, &rpc.InheritFd{Key: &key, Fd: pass(f)})
	}
	for n, key := range o.Streams {
		if key != "" {
			r.InheritFd = append(r.InheritFd, &rpc.InheritFd{Key: &key, Fd: new(int32(n))})
		}
	}
	for kind, path := range sorted(o.Join) {
		r.JoinNs = append(r.JoinNs, &rpc.JoinNamespace{Ns: &kind, NsFile: &path})
	}
	for controller, path := range sorted(o.Groups) {
		r.CgRoot = append(r.CgRoot, &rpc.CgroupRoot{Ctrl: &controller, Path: &path})
	}
}

// sorted goes through a map in the order of its keys.
func sorted[V any](m map[string]V) func(func(string, V) bool) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return func(yield func(string, V) bool) {
		for _, k := range keys {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
