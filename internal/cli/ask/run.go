package ask

import (
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"carob/internal/fault"
	"carob/internal/spec"
)

// Run are the flags of run and create.
type Run struct {
	Limits

	// Checkpoint is an archive that the container goes on from.
	Checkpoint                                string
	name, pod, runtime                        string
	Remove, Detach, Stdin, TTY                bool
	DetachKeys                                string
	SigProxy                                  bool
	Pull                                      string
	net                                       networks
	ipc, pid, uts, user, cgroup, cgroupParent string
	env, envFiles, volumes, mounts, tmpfs     []string
	shm, workdir, username, hostname          string
	groups, labels, labelFiles, annotations   []string
	entrypoint                                string
	capAdd, capDrop, security                 []string
	privileged, readOnly, init                bool
	devices, sysctls, ulimits                 []string
	stopSignal, restart                       string
	stopTimeout, oomScoreAdj                  int
	storage, logOptions                       []string
	logDriver                                 string
	addHosts, dns, dnsSearches, dnsOptions    []string

	fs *pflag.FlagSet
}

// Request is what the flags and words of a command line ask for. Pod is not used
// when PodRef names an existing pod. Notes are for the user to read.
type Request struct {
	PodRef    string
	Pod       spec.Pod
	Container spec.Container
	// PublishAll asks for ports of the host for all that the image exposes.
	PublishAll bool
	Notes      []string
}

// Bind registers the flags.
func (r *Run) Bind(fs *pflag.FlagSet) {
	r.fs = fs
	r.Limits.Bind(fs)
	r.Limits.BindMore(fs)
	r.bindProcess(fs)
	r.bindWorld(fs)
	r.bindSecurity(fs)
	fs.SetInterspersed(false) // what follows the image is the container's
}

func (r *Run) bindProcess(fs *pflag.FlagSet) {
	fs.StringVar(&r.name, "name", "", "`NAME` of the container")
	fs.BoolVar(&r.Remove, "rm", false, "remove the container when it has exited")
	fs.BoolVarP(&r.Stdin, "interactive", "i", false, "keep standard input open")
	fs.BoolVarP(&r.TTY, "tty", "t", false, "give the container a terminal")
	fs.VarP((*List)(&r.env), "env", "e", "set `NAME=VALUE`, or pass NAME on")
	fs.Var((*List)(&r.envFiles), "env-file", "read environment variables from a `FILE`")
	fs.StringVarP(&r.workdir, "workdir", "w", "", "working `DIRECTORY` in the container")
	fs.StringVarP(&r.username, "user", "u", "", "`USER` by name or ID, with a group or not: NAME|UID[:GROUP|GID]")
	fs.Var((*List)(&r.groups), "group-add", "additional `GROUP`")
	fs.StringVar(&r.entrypoint, "entrypoint", "", "`COMMAND` in the place of the image's entrypoint")
	fs.VarP((*List)(&r.labels), "label", "l", "label `KEY=VALUE`")
	fs.Var((*List)(&r.labelFiles), "label-file", "read labels from a `FILE`")
	fs.Var((*List)(&r.annotations), "annotation", "annotation `KEY=VALUE`")
	fs.BoolVar(&r.init, "init", false, "run a small init that forwards signals and reaps processes")
	fs.StringVar(&r.stopSignal, "stop-signal", "", "`SIGNAL` that stops the container")
	fs.IntVar(&r.stopTimeout, "stop-timeout", 10, "`SECONDS` that a stop waits before it kills")
	fs.StringVar(&r.restart, "restart", "no", "restart `POLICY`: no, on-failure[:N], always, unless-stopped")
	fs.IntVar(&r.oomScoreAdj, "oom-score-adj", 0, "preference of the OOM killer, a `NUMBER` from -1000 to 1000")
	fs.Var((*List)(&r.ulimits), "ulimit", "resource limit of the process `NAME=SOFT[:HARD]`")
	fs.StringVar(&r.logDriver, "log-driver", "", "json-file, local and k8s-file are one `KIND` of log; none keeps nothing")
	fs.Var((*List)(&r.logOptions), "log-opt", "`OPTION` of the log: max-size=SIZE of a file, 10m when not given, max-file=N files, 5")
	fs.StringVar(&r.Checkpoint, "checkpoint", "", "go on from the checkpoint archive `FILE` instead of executing a command")
	fs.StringVar(&r.Pull, "pull", PullMissing, "pull the image: missing, always, never")
}

func (r *Run) bindWorld(fs *pflag.FlagSet) {
	fs.StringVar(&r.pod, "pod", "", "run in this existing `POD`")
	fs.StringVar(&r.runtime, "runtime", "", "`NAME` of the handler that runs it: native, or an OCI runtime that carob info lists")
	r.net.bind(fs)
	fs.StringVar(&r.ipc, "ipc", "", "IPC namespace `MODE`: private, shareable, host, none, container:NAME")
	fs.StringVar(&r.pid, "pid", "", "PID namespace `MODE`: private, host, container:NAME")
	fs.StringVar(&r.uts, "uts", "", "UTS namespace `MODE`: private, host, container:NAME")
	fs.StringVar(&r.user, "userns", "", "user namespace `MODE`: private, host, container:NAME")
	fs.StringVar(&r.cgroup, "cgroupns", "", "cgroup namespace `MODE`: private, host")
	fs.StringVar(&r.cgroupParent, "cgroup-parent", "", "`CGROUP` to make the container's in: an absolute path, or a slice of systemd's")
	fs.VarP((*List)(&r.volumes), "volume", "v", "`VOLUME` to mount: [SOURCE:]TARGET[:OPTIONS]")
	fs.Var((*List)(&r.mounts), "mount", "`MOUNT` type=bind|volume|tmpfs|image,source=…,target=…")
	fs.Var((*List)(&r.tmpfs), "tmpfs", "`TARGET` of a memory file system: TARGET[:OPTIONS]")
	fs.StringVar(&r.shm, "shm-size", "", "size of /dev/shm in `BYTES`; 64m when not given")
	fs.Var((*List)(&r.storage), "storage-opt", "size=`BYTES`: the most that the container may write besides volumes, where the file system has project quotas")
	fs.StringVarP(&r.hostname, "hostname", "h", "", "host `NAME` in the container")
	fs.Var((*List)(&r.addHosts), "add-host", "line of /etc/hosts `NAME:IP`; the IP may be host-gateway")
	fs.Var((*List)(&r.dns), "dns", "name server instead of the host's")
	fs.Var((*List)(&r.dnsSearches), "dns-search", "DNS search domain instead of the host's; . for none")
	fs.Var((*List)(&r.dnsOptions), "dns-option", "resolver option instead of the host's")
}

func (r *Run) bindSecurity(fs *pflag.FlagSet) {
	fs.Var((*List)(&r.capAdd), "cap-add", "add a `CAPABILITY`, or ALL")
	fs.Var((*List)(&r.capDrop), "cap-drop", "drop a `CAPABILITY`, or ALL")
	fs.Var((*List)(&r.security), "security-opt",
		"`OPTION`: no-new-privileges, seccomp=FILE|unconfined, apparmor=PROFILE|default|unconfined, label=…, systempaths=unconfined")
	fs.BoolVar(&r.privileged, "privileged", false, "all capabilities and devices; the host's user namespace unless --userns says otherwise")
	fs.BoolVar(&r.readOnly, "read-only", false, "make the root file system read-only")
	fs.Var((*List)(&r.devices), "device", "give a `DEVICE` /dev/NAME[:/dev/NAME][:rwm], or a CDI device vendor.com/class=name")
	fs.Var((*List)(&r.sysctls), "sysctl", "kernel parameter `NAME=VALUE` of the container's namespaces")
}

// BindForeground registers the flags that only run has.
func (r *Run) BindForeground(fs *pflag.FlagSet) {
	fs.BoolVarP(&r.Detach, "detach", "d", false, "run in the background and print the ID")
	fs.StringVar(&r.DetachKeys, "detach-keys", DefaultDetachKeys, "key sequence that leaves the container running")
	fs.BoolVar(&r.SigProxy, "sig-proxy", true, "pass signals on to the container")
}

// Translate turns the flags and words (IMAGE [COMMAND] [ARG…]) into a request.
func (r *Run) Translate(words []string, h Host) (Request, error) {
	var q Request
	if len(words) == 0 {
		return q, fault.New(fault.Invalid, "needs an image: carob run [FLAGS] IMAGE [COMMAND] [ARG…]")
	}
	for _, step := range []func(*Request, Host) error{r.process, r.resumed, r.world, r.securities, r.environment, r.namespaces, r.podOnly} {
		if err := step(&q, h); err != nil {
			return q, err
		}
	}
	q.Container.Image = words[0]
	if err := r.command(&q.Container, words[1:]); err != nil {
		return q, err
	}
	q.Pod.Owner, q.Pod.Solo, q.Pod.Name, q.Pod.Handler = "cli", true, r.name, r.runtime
	if q.PodRef == "" {
		q.Pod.Annotations = q.Container.Annotations // some are about what is the pod's: the network
	}
	return q, nil
}

// command distributes Docker's entrypoint and arguments.
func (r *Run) command(c *spec.Container, args []string) error {
	c.Args = args
	if !r.fs.Changed("entrypoint") {
		return nil
	}
	if r.entrypoint != "" {
		c.Command = []string{r.entrypoint}
		return nil
	}
	// An empty entrypoint drops the image's; what is left is the command itself.
	if len(args) == 0 {
		return clash("entrypoint", "is empty and no command is given")
	}
	c.Command, c.Args = args, nil
	return nil
}

// resumed names the archive that the container goes on from.
func (r *Run) resumed(q *Request, h Host) (err error) {
	if r.Checkpoint != "" {
		q.Container.Checkpoint, err = h.Abs(r.Checkpoint)
	}
	return err
}

func (r *Run) process(q *Request, h Host) (err error) {
	c := &q.Container
	c.Name, c.WorkingDir, c.User, c.Groups = r.name, r.workdir, r.username, r.groups
	c.Stdin, c.TTY, c.AutoRemove, c.Init = r.Stdin, r.TTY, r.Remove, r.init
	c.StdinOnce = r.Stdin && !r.Detach
	c.StopSignal = r.stopSignal
	if r.workdir != "" && !strings.HasPrefix(r.workdir, "/") {
		return bad("workdir", r.workdir, "must be an absolute path")
	}
	if r.fs.Changed("stop-timeout") {
		c.StopTimeout = &r.stopTimeout
	}
	if c.OOMScoreAdj, err = r.score(); err != nil {
		return err
	}
	if c.Restart, err = Restart(r.restart); err != nil {
		return err
	}
	if c.Restart.Policy != "" && r.Remove {
		return clash("restart", "conflicts with --rm")
	}
	if !slices.Contains(PullPolicies(), r.Pull) {
		return bad("pull", r.Pull, "want "+strings.Join(PullPolicies(), ", "))
	}
	if c.Rlimits, err = ulimits(r.ulimits); err != nil {
		return err
	}
	if c.Log, err = logs(r.logDriver, r.logOptions); err != nil {
		return err
	}
	c.Resources, err = r.Limits.Resources(h)
	return err
}

func (r *Run) score() (*int, error) {
	if !r.fs.Changed("oom-score-adj") {
		return nil, nil
	}
	if r.oomScoreAdj < -1000 || r.oomScoreAdj > 1000 {
		return nil, bad("oom-score-adj", strconv.Itoa(r.oomScoreAdj), "not between -1000 and 1000")
	}
	return &r.oomScoreAdj, nil
}

func (r *Run) environment(q *Request, h Host) (err error) {
	c := &q.Container
	if c.Env, err = environment(r.envFiles, r.env, h); err != nil {
		return err
	}
	if c.Labels, err = labels(r.labelFiles, r.labels, h); err != nil {
		return err
	}
	c.Annotations, err = pairs("annotation", r.annotations)
	return err
}

func (r *Run) world(q *Request, h Host) (err error) {
	if q.Container.Mounts, err = mounts(r.volumes, r.mounts, r.tmpfs, h); err != nil {
		return err
	}
	if q.Container.Devices, q.Container.CDIDevices, err = devices(r.devices); err != nil {
		return err
	}
	if q.Pod.Sysctls, err = pairs("sysctl", r.sysctls); err != nil {
		return err
	}
	if q.Pod.Hosts, err = hosts(r.addHosts); err != nil {
		return err
	}
	if q.Pod.DNS, err = resolver(r.dns, r.dnsSearches, r.dnsOptions); err != nil {
		return err
	}
	if r.shm != "" {
		if q.Pod.ShmSize, err = units.RAMInBytes(r.shm); err != nil || q.Pod.ShmSize <= 0 {
			return bad("shm-size", r.shm, "not a size; write bytes or a number with b, k, m, g")
		}
	}
	return r.storageSize(&q.Container)
}

func (r *Run) storageSize(c *spec.Container) error {
	for _, o := range r.storage {
		key, value, _ := strings.Cut(o, "=")
		if key != "size" {
			return bad("storage-opt", o, "want size=BYTES")
		}
		n, err := units.RAMInBytes(value)
		if err != nil || n <= 0 {
			return bad("storage-opt", o, "not a size; write bytes or a number with b, k, m, g")
		}
		c.StorageSize = n
	}
	return nil
}
