package ocicli

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"

	"carob/internal/fault"
	cr "carob/internal/ocirt/checkpoint"
)

func checkpointCommands() []command {
	return []command{
		{
			name: "checkpoint", usage: "ID", help: "write a running container down, with criu", least: 1, most: 1, starts: true, run: checkpoint,
			options: append(commonCheckpoint(),
				option{"parent-path", "", isText, "an earlier pre-dump, relative to the images"},
				option{"leave-running", "", isBool, "the container goes on"},
				option{"tcp-skip-in-flight", "", isBool, "leave out connections that are being made"},
				option{"link-remap", "", isBool, "link unlinked files back where that is possible"},
				option{"lazy-pages", "", isBool, "serve the memory's pages to who restores"},
				option{"status-fd", "", isText, "descriptor that gets a byte when the pages are served"},
				option{"page-server", "", isText, "ADDRESS:PORT that the memory's pages are sent to"},
				option{"pre-dump", "", isBool, "write the memory alone; the container goes on"}),
		},
		{
			name: "restore", usage: "ID", help: "make a container from a checkpoint", least: 1, most: 1, starts: true, run: restore,
			options: append(append(commonCheckpoint(), createOptions()...),
				option{"detach", "d", isBool, "do not wait"},
				option{"no-subreaper", "", isBool, "accepted"},
				option{"lazy-pages", "", isBool, "take the memory's pages when they are used"},
				option{"lsm-profile", "", isText, "TYPE:NAME of another profile"},
				option{"lsm-mount-context", "", isText, "another context of mounts"}),
		},
	}
}

// commonCheckpoint are the flags of both.
func commonCheckpoint() []option {
	return []option{
		{"image-path", "", isText, "directory of the images (checkpoint)"},
		{"work-path", "", isText, "directory of the log (the images')"},
		{"tcp-established", "", isBool, "with open TCP connections"},
		{"ext-unix-sk", "", isBool, "with unix sockets to others"},
		{"shell-job", "", isBool, "with the caller's terminal"},
		{"file-locks", "", isBool, "with locks of files"},
		{"manage-cgroups-mode", "", isText, "soft, full, strict or ignore"},
		{"empty-ns", "", isText, "network: it is always restored empty, or as the bundle says"},
		{"auto-dedup", "", isBool, "write no page twice"},
	}
}

func checkpointOptions(a *app) (o cr.Options, err error) {
	has, text := a.args.has, a.args.text
	o = cr.Options{
		Criu: a.global.text("criu"), ImagePath: text("image-path"), WorkPath: text("work-path"), PreDump: has("pre-dump"),
	}
	if o.ImagePath == "" {
		o.ImagePath = "checkpoint"
	}
	o.Parent, o.GroupMode, o.LSMProfile, o.LSMMountContext = text("parent-path"), text("manage-cgroups-mode"), text("lsm-profile"), text("lsm-mount-context")
	for flag, to := range map[string]*bool{
		"leave-running": &o.LeaveRunning, "tcp-established": &o.TCPEstablished, "tcp-skip-in-flight": &o.TCPSkipInFlight,
		"link-remap": &o.LinkRemap, "ext-unix-sk": &o.ExternalUnix, "shell-job": &o.ShellJob, "file-locks": &o.FileLocks,
		"auto-dedup": &o.AutoDedup, "lazy-pages": &o.LazyPages,
	} {
		*to = has(flag)
	}
	if n := text("empty-ns"); n != "" && n != "network" {
		return o, fault.New(fault.Unsupported, "--empty-ns: namespace "+n+" is not supported")
	}
	return o, errors.Join(pageServer(a, &o), statusFile(a, &o))
}

func pageServer(a *app, o *cr.Options) error {
	server := a.args.text("page-server")
	if server == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil || host == "" {
		return fault.New(fault.Invalid, "--page-server: "+server+" is not ADDRESS:PORT")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fault.New(fault.Invalid, "--page-server: "+port+" is no port")
	}
	o.PageServer, o.Port = host, int32(n)
	return nil
}

func statusFile(a *app, o *cr.Options) error {
	if a.args.text("status-fd") == "" {
		return nil
	}
	n, err := a.args.number("status-fd")
	if err != nil || n < 0 {
		return errors.Join(err, rangeError(n))
	}
	o.StatusFile = os.NewFile(uintptr(n), "status")
	return nil
}

func checkpoint(ctx context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	o, err := checkpointOptions(a)
	if err != nil {
		return 0, err
	}
	return 0, cr.Dump(ctx, c, o)
}

func restore(ctx context.Context, a *app) (code int, err error) {
	o, err := a.createOptions()
	if err != nil {
		return 0, err
	}
	from, err := checkpointOptions(a)
	if err != nil {
		return 0, err
	}
	detach := a.args.has("detach")
	var console *os.File
	if !detach && o.ConsoleSocket == "" {
		o.Console = &console
	}
	c, err := cr.Restore(ctx, a.runtime, o, from)
	if err != nil || detach {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Delete(ctx, true)) }()
	return a.follow(c.Init, console)
}
