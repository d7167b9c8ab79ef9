package criu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/checkpoint-restore/go-criu/v8/rpc"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/ns"
	"carob/internal/sys/task"
)

// Swrk starts a criu.
type Swrk interface {
	// Start starts `criu swrk First()`, with the files as its descriptors from First() on. They
	// stay the caller's. ended waits for it; a criu that ends with another status than 0 is an
	// error.
	Start(files []*os.File) (ended func() error, err error)
	// First is the number of the first file.
	First() int
}

// Command starts a criu as a child without streams. It is the program's path, "" for the
// criu in PATH.
type Command string

// First is what os/exec makes of it.
func (Command) First() int { return 3 }

// Start starts the program.
func (c Command) Start(files []*os.File) (func() error, error) {
	path, err := Find(string(c))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "swrk", strconv.Itoa(c.First()))
	cmd.ExtraFiles = files
	return cmd.Wait, task.Start(cmd)
}

// Find returns the absolute path of criu: Unsupported when it is not installed. name is "" for
// the one in PATH.
func Find(name string) (string, error) {
	if name == "" {
		name = "criu"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fault.Wrap(fault.Unsupported, "checkpoints need criu", err)
	}
	return filepath.Abs(path)
}

// Hooks are called while a restore waits. An error ends it, and what has been made.
type Hooks struct {
	// Namespaces is told the first process when its namespaces are there and empty.
	Namespaces func(pid int) error
	// Restored is told the first process when all are as they were, rights and filters
	// included, and none has gone on yet. Criu lets them go on whatever it says: whoever does
	// not want that kills them.
	Restored func(pid int) error
	// Terminal takes the master of a terminal whose slave a process has.
	Terminal func(master *os.File) error
	// Ready is called when a dump with LazyPages serves pages.
	Ready func() error
}

// Dump writes the tree of a process down. Unless LeaveRunning is set it is gone then.
//
// Criu works in the cgroup namespace of the process: from outside it takes the first
// process to be in another cgroup than all others, and a restore that leaves cgroups alone
// tries to move their threads, and fails (criu 4.2).
func Dump(s Swrk, pid int, o Options, h Hooks) error {
	return ns.InCgroup(pid, func() error {
		_, err := (&action{kind: rpc.CriuReqType_DUMP, name: "dump", hooks: h}).do(s, pid, o)
		return err
	})
}

// PreDump writes down the memory of a tree that goes on, and marks what it changes from
// then on, if the kernel can.
func PreDump(s Swrk, pid int, o Options) error {
	can, err := features(s)
	if err != nil {
		return err
	}
	if !can.GetMemTrack() {
		return fault.New(fault.Unsupported, "criu: pre-dump: this kernel does not track changes of memory")
	}
	o.LeaveRunning = true
	_, err = (&action{kind: rpc.CriuReqType_SINGLE_PRE_DUMP, name: "dump"}).do(s, pid, o)
	return err
}

// Restore makes a tree again and returns its first process.
func Restore(s Swrk, o Options, h Hooks) (pid int, err error) {
	r, err := (&action{kind: rpc.CriuReqType_RESTORE, name: "restore", hooks: h}).do(s, 0, o)
	if err != nil {
		return 0, err
	}
	return int(r.GetRestore().GetPid()), nil
}

// action is one thing that criu is asked for.
type action struct {
	kind  rpc.CriuReqType
	name  string
	hooks Hooks
	held  bool
	pid   int // of the first process, once criu has told
}

func (a *action) do(s Swrk, pid int, o Options) (*rpc.CriuResp, error) {
	log := a.name + ".log"
	a.held = o.Held
	options, files, err := o.options(log, s.First()+1)
	if err != nil {
		return nil, err
	}
	if pid != 0 {
		options.Pid = new(int32(pid))
	}
	r, err := a.ask(s, &rpc.CriuReq{Type: &a.kind, Opts: options}, files)
	if err == nil {
		return r, nil
	}
	dir := o.Images
	if o.Work != nil {
		dir = o.Work
	}
	return nil, fmt.Errorf("criu: %s: %w", a.name, quoted(filepath.Join(dir.Name(), log), err))
}

// ask starts criu, sends the request, and answers until the response is there.
func (a *action) ask(s Swrk, q *rpc.CriuReq, files []*os.File) (r *rpc.CriuResp, err error) {
	conn, theirs, err := fd.Packets()
	if err != nil {
		return nil, err
	}
	ended, err := a.start(s, conn, append([]*os.File{theirs}, files...))
	theirs.Close()
	if err != nil {
		conn.Close()
		return nil, err
	}
	r, err = a.talk(conn, q)
	_ = conn.CloseWrite() // ends a criu that waits for more, whoever has our end; one that is gone is an error
	conn.Close()
	if end := ended(); end != nil && (err == nil || errors.Is(err, errSilent)) {
		return nil, end // it says why, if it could not even be started
	}
	return r, err
}

// start starts criu; one that is held has our end of the socket, too.
func (a *action) start(s Swrk, conn *net.UnixConn, files []*os.File) (ended func() error, err error) {
	if a.held {
		own, err := conn.File()
		if err != nil {
			return nil, err
		}
		defer own.Close()
		files = append(files, own)
	}
	return s.Start(files)
}

// errSilent: criu has ended, and has not said why.
var errSilent = fault.New(fault.Internal, "it has ended without an answer")

// silent tells whether an error of the socket is criu's end.
func silent(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, fd.ECONNRESET) }

// maxPacket is what criu itself takes at most.
const maxPacket = 64 << 10

func (a *action) talk(conn *net.UnixConn, q *rpc.CriuReq) (*rpc.CriuResp, error) {
	buf := make([]byte, maxPacket)
	for {
		text, err := q.MarshalVT()
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(text); err != nil {
			return nil, err
		}
		n, files, err := fd.ReceivePacket(conn, buf, 1)
		if silent(err) {
			return nil, errSilent
		}
		if err != nil {
			return nil, err
		}
		r := &rpc.CriuResp{}
		err = r.UnmarshalVT(buf[:n])
		switch {
		case err != nil:
		case r.GetType() == rpc.CriuReqType_NOTIFY:
			if err = a.notified(r.GetNotify(), files); err != nil {
				_ = answer(conn, false) // criu ends what it has made, or lets it go on
			}
		case !r.GetSuccess():
			err = fault.New(fault.Internal, fmt.Sprintf("failed, errno %d", r.GetCrErrno()))
		}
		fd.CloseAll(files)
		if err != nil || r.GetType() != rpc.CriuReqType_NOTIFY {
			return r, err
		}
		q = &rpc.CriuReq{Type: new(rpc.CriuReqType_NOTIFY), NotifySuccess: new(true)}
	}
}

// answer says whether what criu told of went well, and waits for its last word.
func answer(conn *net.UnixConn, well bool) error {
	text, err := (&rpc.CriuReq{Type: new(rpc.CriuReqType_NOTIFY), NotifySuccess: &well}).MarshalVT()
	if err == nil {
		_, err = conn.Write(text)
	}
	if err == nil {
		_, err = conn.Read(make([]byte, maxPacket))
	}
	return err
}

// notified calls the hook for what criu tells of.
func (a *action) notified(n *rpc.CriuNotify, files []*os.File) error {
	if pid := int(n.GetPid()); pid != 0 { // not every notification has it
		a.pid = pid
	}
	pid, h := a.pid, a.hooks
	switch word := n.GetScript(); {
	case word == "setup-namespaces" && h.Namespaces != nil:
		return h.Namespaces(pid)
	case word == "pre-resume" && h.Restored != nil:
		return h.Restored(pid)
	case word == "status-ready" && h.Ready != nil:
		return h.Ready()
	case word == "orphan-pts-master" && h.Terminal != nil && len(files) == 1:
		return h.Terminal(files[0])
	}
	return nil
}

// features asks what criu can do on this kernel.
func features(s Swrk) (*rpc.CriuFeatures, error) {
	q := &rpc.CriuReq{Type: new(rpc.CriuReqType_FEATURE_CHECK), Features: &rpc.CriuFeatures{MemTrack: new(true), LazyPages: new(true)}}
	r, err := (&action{}).ask(s, q, nil)
	if err != nil {
		return nil, fmt.Errorf("criu: features: %w", err)
	}
	return r.GetFeatures(), nil
}
