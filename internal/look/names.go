package look

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/look/mounts"
	"carob/internal/sys/fd"
	"carob/internal/sys/procfs"
)

// namer learns what people call things: from carob's records, Docker's, what kubelet
// mounts into its containers and logs, and from the environment. Names are for people:
// whatever is missing or strange leaves a thing without one.
type namer struct {
	h      *Host
	runs   []string
	buf    *bytes.Buffer
	kube   map[string][2]string // UID → namespace and name
	missed *misses
}

func newNamer(h *Host, runs []string, m *misses) namer {
	n := namer{h: h, buf: &bytes.Buffer{}, kube: map[string][2]string{}, missed: m}
	for _, r := range runs {
		n.trust(r)
	}
	entries, _ := os.ReadDir(h.Path("var/log/pods")) // most hosts have none
	for _, e := range entries {
		if f := strings.Split(e.Name(), "_"); len(f) == 3 { // no part of it can hold a "_"
			n.kube[f[2]] = [2]string{f[0], f[1]}
		}
	}
	return n
}

// procFile is how evidence names a file of a process.
func procFile(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }

// read reads a file of the host, "" when it cannot.
func (n *namer) read(path string) []byte {
	dir, err := procfs.Open(n.h.Path(filepath.Dir(path)))
	if err == nil {
		defer dir.Close()
		err = dir.Read(filepath.Base(path), n.buf)
	}
	if err != nil {
		if fault.Is(err, fault.Denied) && !strings.HasPrefix(path, "/proc/") {
			n.missed.add("names in "+filepath.Dir(path), err)
		}
		return nil
	}
	return n.buf.Bytes()
}

// trust adds a run directory whose owner may tell this reader stories: root, or the
// reader. A process can call itself carob-pod and show a directory of its own.
func (n *namer) trust(run string) {
	info, err := os.Stat(n.h.Path(run))
	if err != nil || !info.IsDir() || slices.Contains(n.runs, run) {
		return
	}
	if uid, _ := fd.Owner(info); uid == 0 || int(uid) == os.Geteuid() {
		n.runs = append(n.runs, run)
	}
}

// supervisor completes the pod of one of carob's supervisors: its log is open as
// RUN/pods/ID/supervisor.log.
func (n *namer) supervisor(pid int, s shim) shim {
	dir, err := procfs.Open(n.h.Path("proc", strconv.Itoa(pid)))
	if err != nil {
		return s
	}
	defer dir.Close()
	log, err := dir.Link("fd/2")
	if err != nil {
		return n.completed(s)
	}
	run, rest, ok := cutLast(log, "/pods/")
	id, isLog := strings.CutSuffix(rest, "/supervisor.log")
	if !ok || !isLog || !isID(id) || !strings.HasPrefix(id, s.pod) {
		return n.completed(s)
	}
	n.trust(run)
	s.pod = id
	return s
}

// completed finds the whole ID of a supervisor's pod among the cgroups.
func (n *namer) completed(s shim) shim {
	for i := range n.h.Processes {
		for _, p := range n.h.Processes[i].Cgroups {
			if t := ReadPath(p.Path); len(s.pod) >= 12 && t.Pod != s.pod && isID(t.Pod) && strings.HasPrefix(t.Pod, s.pod) {
				s.pod = t.Pod
				return s
			}
		}
	}
	return s
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// record is the part of carob's records that names need.
type record struct {
	Status struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
		PodID     string `json:"podID"`
		Spec      struct {
			Solo bool `json:"solo"`
		} `json:"spec"`
	} `json:"status"`
}

// carob finds a record by kind and ID, and says where.
func (n *namer) carob(kind, id string) (r record, from string) {
	if !isID(id) {
		return r, ""
	}
	for _, run := range n.runs {
		path := filepath.Join(run, "state", kind, id+".json")
		if json.Unmarshal(n.read(path), &r) == nil && r.Status.ID == id {
			return r, path
		}
	}
	return record{}, ""
}

// container names a container.
func (n *namer) container(c *Container) {
	if c.Name != "" || c.Class == ClassGroup {
		return
	}
	switch {
	case c.Engine == Carob, c.Engine == "" && isID(c.ID):
		if r, from := n.carob("container", c.ID); from != "" {
			c.Name, c.NameFrom, c.Engine = r.Status.Name, from, Carob
			c.Pod = cmp.Or(c.Pod, r.Status.PodID)
		}
	case c.Engine == Docker && isID(c.ID):
		c.Name, c.NameFrom = n.docker(c.ID)
	}
	if c.Name == "" && c.Pod != "" {
		c.Name, c.NameFrom = n.kubeContainer(c), procFile(c.Leader, "mountinfo")
	}
	if c.Name == "" {
		c.Name, c.NameFrom = c.plainName(), c.From
	}
	if c.Name == "" {
		c.NameFrom = ""
	}
}

// docker reads the name in Docker's own record of a container.
func (n *namer) docker(id string) (name, from string) {
	var r struct{ Name string }
	path := "/var/lib/docker/containers/" + id + "/config.v2.json"
	if json.Unmarshal(n.read(path), &r) != nil {
		return "", ""
	}
	return strings.TrimPrefix(r.Name, "/"), path
}

// plainName is what remains: lxc, machines and ctr let people choose the ID.
func (c *Container) plainName() string {
	switch {
	case c.Class == ClassSandbox:
		return "sandbox"
	case !isID(c.ID):
		return c.ID
	}
	return ""
}

// kubeContainer is the name in what kubelet mounts for the message a container may
// leave: /var/lib/kubelet/pods/UID/containers/NAME/HASH.
func (n *namer) kubeContainer(c *Container) string {
	all, err := mounts.Parse(bytes.NewReader(n.read(procFile(c.Leader, "mountinfo"))))
	if err != nil {
		return ""
	}
	for _, m := range all {
		_, rest, ok := strings.Cut(m.Root, "/pods/"+c.Pod+"/containers/")
		if name, _, also := strings.Cut(rest, "/"); ok && also {
			return name
		}
	}
	return ""
}

// pod names a pod by one of its containers.
func (n *namer) pod(p *Pod, c *Container) {
	if r, from := n.carob("pod", p.ID); from != "" {
		p.Name, p.Namespace, p.NameFrom, p.Solo = r.Status.Name, r.Status.Namespace, from, r.Status.Spec.Solo
		return
	}
	if k, ok := n.kube[p.ID]; ok {
		p.Namespace, p.Name, p.NameFrom = k[0], k[1], "/var/log/pods"
		return
	}
	if c.Engine == Carob {
		return
	}
	// Engines of pods give each container the pod's hostname in its environment.
	for v := range bytes.SplitSeq(n.read(procFile(c.Leader, "environ")), []byte{0}) {
		if name, ok := strings.CutPrefix(string(v), "HOSTNAME="); ok && c.Class == ClassContainer {
			p.Name, p.NameFrom = name, procFile(c.Leader, "environ")
			return
		}
	}
}
