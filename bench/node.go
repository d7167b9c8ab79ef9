package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A node is a machine as far as a CRI runtime can tell: network, mounts, processes, /run
// and /var/lib are its own. What the runtime leaves behind goes with it, but for cgroups.
type node struct {
	cmd  *exec.Cmd
	life io.Closer // closing it ends the node
	gone chan struct{}
	conn *grpc.ClientConn
	log  string
}

// world makes the node out of new namespaces and runs the daemon in it. The shell waits as
// process 1, so that it reaps what the daemon's children leave; when its input
// ends, because the bench has closed it or is no more, all other processes are killed.
const world = `set -e
mount --make-rprivate / && mount --make-rshared /
for d in /run /var/lib; do mount -t tmpfs -o mode=755 tmpfs $d; done
ip link set lo up
exec 3<&0
sh -c "$0" </dev/null & daemon=$!
{ cat <&3 >/dev/null; kill -KILL -1; } &
wait $daemon`

// startNode runs a shell command, which becomes the daemon, in a new node, and waits until
// somebody serves the socket. The node's output goes to a file beside the socket.
func (c *contest) startNode(ctx context.Context, command, socket string) (*node, error) {
	n := &node{log: socket + ".log", gone: make(chan struct{})}
	n.cmd = c.command(context.WithoutCancel(ctx), "unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", world, command)
	log, err := os.Create(n.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if n.life, err = n.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(n.gone)
		_ = n.cmd.Wait() // its shell has waited for a daemon that was killed
	}()
	if err = n.await(socket); err == nil {
		n.conn, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	if err != nil {
		return nil, errors.Join(err, fmt.Errorf("its log ends: %s", n.said()), n.close())
	}
	return n, nil
}

// await waits for the daemon's socket.
func (n *node) await(socket string) error {
	look, late := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer look.Stop()
	for {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-n.gone:
			return errors.New("it has ended")
		case <-late:
			return errors.New("it does not serve " + socket)
		}
	}
}

// close ends the node: unshare ends when all of its processes have.
func (n *node) close() error {
	var err error
	if n.conn != nil {
		err = n.conn.Close()
	}
	_ = n.life.Close()
	<-n.gone
	return err
}

// said is the end of what the daemon has printed.
func (n *node) said() string {
	text, _ := os.ReadFile(n.log)
	return string(text[max(0, len(text)-2000):])
}

// memory is proportional set sizes in kB: of a runtime's daemon, and of what it runs per pod.
type memory struct{ daemon, pods float64 }

// memory reads what the node's processes use. Containers' own processes, which are the
// image's, do not count.
func (n *node) memory(daemon string) (used memory, err error) {
	all, err := n.processes()
	for _, dir := range all {
		name, _ := os.ReadFile(dir + "/comm")
		switch strings.TrimSpace(string(name)) {
		case daemon:
			used.daemon += pss(dir)
		case "sleep", "sh", "cat", "unshare":
		default:
			used.pods += pss(dir)
		}
	}
	return used, err
}

// processes lists the node's, by their directories in /proc.
func (n *node) processes() ([]string, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	parents := map[string]string{}
	for _, d := range dirs {
		stat, _ := os.ReadFile(d + "/stat") // nothing when it has ended
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 1 {
			parents[d] = "/proc/" + f[1]
		}
	}
	top := "/proc/" + strconv.Itoa(n.cmd.Process.Pid)
	return slices.DeleteFunc(dirs, func(d string) bool {
		for d != top && parents[d] != "" {
			d = parents[d]
		}
		return d != top
	}), nil
}

// hierarchies lists the directories where cgroups are made: one for each of version 1, or
// one in all.
func hierarchies() ([]string, error) {
	const top = "/sys/fs/cgroup"
	if _, err := os.Stat(top + "/cgroup.controllers"); err == nil {
		return []string{top}, nil
	}
	return filepath.Glob(top + "/*")
}

// makeGroup makes a cgroup, as a kubelet does before it asks for a pod.
func makeGroup(path string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		if err := os.MkdirAll(h+path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// makeParent makes the cgroup above all pods. One of version 1's cpuset is of no use until
// it names CPUs; those below inherit them.
func makeParent(path string) error {
	if err := makeGroup(path); err != nil {
		return err
	}
	const sets = "/sys/fs/cgroup/cpuset"
	for _, f := range []string{"/cpuset.cpus", "/cpuset.mems"} {
		all, err := os.ReadFile(sets + f)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = os.WriteFile(sets+path+f, all, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return os.WriteFile(sets+path+"/cgroup.clone_children", []byte("1"), 0o600)
}

// removeGroups removes a cgroup with all below it. The last processes may still be ending.
func removeGroups(path string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var last error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		last = nil
		for _, h := range all {
			last = errors.Join(last, removeGroup(h+path))
		}
		if last == nil {
			return nil
		}
	}
	return last
}

func removeGroup(dir string) error {
	below, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range below {
		if e.IsDir() {
			err = errors.Join(err, removeGroup(filepath.Join(dir, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	return nil
}
