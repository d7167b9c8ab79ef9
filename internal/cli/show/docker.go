package show

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

// Container is a container in the shape of `docker inspect`, so that scripts and
// templates written for Docker work, and after that what Docker does not tell: what
// was asked, what the kernel shows, and where the two differ.
type Container struct {
	ID           string `json:"Id"`
	Created      time.Time
	Path         string
	Args         []string
	State        ContainerState
	Image        string
	LogPath      string
	Name         string
	RestartCount int
	Driver       string
	Platform     string
	// What execve changes to, and the files' label.
	AppArmorProfile, ProcessLabel, MountLabel string

	HostConfig HostConfig
	Mounts     []MountPoint
	Config     Config

	NetworkSettings NetworkSettings

	Pod        PodRef
	CgroupPath string
	Step       string `json:",omitempty"`
	Asked      spec.Container
	// Adjusted is Asked with CDI devices and what plugins have changed, if anything has.
	Adjusted    *spec.Container  `json:",omitempty"`
	Observed    *status.Observed `json:",omitempty"`
	Differences []string
	OCI         *specs.Spec `json:",omitempty"`
}

// PodRef names the pod around a container.
type PodRef struct {
	ID        string `json:"Id"`
	Name      string
	Namespace string `json:",omitempty"`
}

// ContainerState is Docker's State.
type ContainerState struct {
	Status                                       string
	Running, Paused, Restarting, OOMKilled, Dead bool
	Pid, ExitCode                                int
	Error                                        string
	StartedAt, FinishedAt                        time.Time
	Reason                                       string `json:",omitempty"`
}

// HostConfig is the part of Docker's HostConfig that carob knows.
type HostConfig struct {
	NetworkMode, IpcMode, PidMode, UTSMode, UsernsMode, CgroupnsMode string
	Memory, MemorySwap, MemoryReservation                            int64
	NanoCpus, CpuPeriod, CpuQuota, CpuShares                         int64
	CpusetCpus, CpusetMems                                           string
	PidsLimit                                                        *int64
	BlkioWeight                                                      uint16
	OomScoreAdj                                                      int
	CgroupParent                                                     string
	Privileged, ReadonlyRootfs, AutoRemove                           bool
	Init                                                             *bool
	CapAdd, CapDrop, SecurityOpt, GroupAdd                           []string
	RestartPolicy                                                    RestartPolicy
	Binds                                                            []string
	Tmpfs                                                            map[string]string `json:",omitempty"`
	Devices                                                          []DeviceMapping
	Ulimits                                                          []Ulimit
	Sysctls                                                          map[string]string `json:",omitempty"`
	ExtraHosts, Dns, DnsSearch, DnsOptions                           []string
	ShmSize                                                          int64
	LogConfig                                                        LogConfig
}

// LogConfig is Docker's.
type LogConfig struct {
	Type   string
	Config map[string]string
}

// RestartPolicy is Docker's.
type RestartPolicy struct {
	Name              string
	MaximumRetryCount int
}

// DeviceMapping is Docker's.
type DeviceMapping struct{ PathOnHost, PathInContainer, CgroupPermissions string }

// Ulimit is Docker's.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// MountPoint is Docker's.
type MountPoint struct {
	Type        string
	Name        string `json:",omitempty"`
	Source      string
	Destination string
	Mode        string
	RW          bool
	Propagation string
}

// Config is the part of Docker's Config that carob knows.
type Config struct {
	Hostname, User, WorkingDir, Image string
	Env, Cmd, Entrypoint              []string
	Labels                            map[string]string
	Annotations                       map[string]string `json:",omitempty"`
	StopSignal                        string            `json:",omitempty"`
	StopTimeout                       *int              `json:",omitempty"`
	Tty, OpenStdin, StdinOnce         bool
}

// Docker shows an inspected container, with the pod around it, in Docker's shape.
func Docker(in status.ContainerInspection, p status.Pod) Container {
	c := in.Container
	d := Container{
		ID: c.ID, Created: c.CreatedAt, State: state(c), Image: c.ImageID, LogPath: c.LogPath, Name: "/" + Title(c),
		RestartCount: c.RestartCount, Driver: "overlay", Platform: "linux", HostConfig: hostConfig(c, p), Mounts: mountPoints(in),
		Config: config(in, p), NetworkSettings: networkSettings(p.Connections), Pod: PodRef{c.PodID, c.PodName, p.Namespace}, CgroupPath: c.Cgroup, Step: c.Step,
		Asked: c.Spec, Adjusted: c.Adjusted, Differences: []string{}, OCI: in.OCI, Args: []string{},
	}
	if in.OCI != nil && in.OCI.Process != nil && in.OCI.Linux != nil {
		d.AppArmorProfile, d.ProcessLabel, d.MountLabel = in.OCI.Process.ApparmorProfile, in.OCI.Process.SelinuxLabel, in.OCI.Linux.MountLabel
	}
	if len(c.Command) > 0 {
		d.Path, d.Args = c.Command[0], c.Command[1:]
	}
	if c.State == lifecycle.ContainerRunning {
		d.Observed = &in.Observed
		if in.Observed.Differences != nil {
			d.Differences = in.Observed.Differences
		}
	}
	return d
}

func state(c status.Container) ContainerState {
	s := ContainerState{
		Status: State(c), Running: c.State == lifecycle.ContainerRunning, Paused: c.Paused, OOMKilled: c.OOMKilled,
		Pid: c.Pid, ExitCode: c.ExitCode, Error: c.Message, StartedAt: c.StartedAt, FinishedAt: c.FinishedAt, Reason: c.Reason,
	}
	if s.Running { // Docker: of the present run, which has none yet
		s.ExitCode, s.FinishedAt = 0, time.Time{}
	}
	return s
}

// modeWord is Docker's word for a mode, own being its word for a fresh namespace of
// that kind.
func modeWord(own string, container, sandbox spec.Mode) string {
	m := container
	if m == "" || m == spec.OfPod {
		m = sandbox
	}
	switch m {
	case "", spec.Own:
		return own
	}
	return string(m)
}

func hostConfig(c status.Container, p status.Pod) HostConfig {
	s, n, pn := *c.Wish(), c.Spec.Namespaces, p.Spec.Namespaces
	h := HostConfig{
		NetworkMode: modeWord("private", n.Net, pn.Net), IpcMode: modeWord("private", n.IPC, pn.IPC),
		PidMode: modeWord("", n.PID, pn.PID), UTSMode: modeWord("", n.UTS, pn.UTS),
		UsernsMode: modeWord("private", n.User, pn.User), CgroupnsMode: modeWord("private", n.Cgroup, pn.Cgroup),
		CgroupParent: p.Spec.CgroupParent, Privileged: s.Security.Privileged, ReadonlyRootfs: s.Security.ReadOnlyRootfs,
		AutoRemove: s.AutoRemove, CapAdd: s.Security.CapAdd, CapDrop: s.Security.CapDrop, SecurityOpt: securityOpt(s.Security),
		GroupAdd: s.Groups, Sysctls: p.Spec.Sysctls, ShmSize: p.Spec.ShmSize,
		RestartPolicy: RestartPolicy{"no", s.Restart.MaxRetries},
	}
	if s.CgroupParent != "" {
		h.CgroupParent = s.CgroupParent
	}
	if s.Restart.Policy != "" {
		h.RestartPolicy.Name = string(s.Restart.Policy)
	}
	if s.Init {
		h.Init = &s.Init
	}
	if s.OOMScoreAdj != nil {
		h.OomScoreAdj = *s.OOMScoreAdj
	}
	if h.ShmSize == 0 {
		h.ShmSize = 64 << 20
	}
	h.LogConfig = logConfig(&c.Spec)
	if r := s.Resources; r != nil {
		limits(&h, r)
	}
	lists(&h, s, p.Spec)
	return h
}

// logConfig shows a log by podman's name for a file in the CRI's format.
func logConfig(s *spec.Container) LogConfig {
	if s.Log.Off {
		return LogConfig{"none", map[string]string{}}
	}
	l := LogConfig{"k8s-file", map[string]string{}}
	if size, files := s.LogBounds(); size > 0 {
		l.Config["max-size"], l.Config["max-file"] = strconv.FormatInt(size, 10), strconv.Itoa(files)
	}
	return l
}

func limits(h *HostConfig, r *specs.LinuxResources) {
	if m := r.Memory; m != nil {
		h.Memory, h.MemorySwap, h.MemoryReservation = value(m.Limit), value(m.Swap), value(m.Reservation)
	}
	if c := r.CPU; c != nil {
		h.CpuPeriod, h.CpuQuota, h.CpuShares = int64(value(c.Period)), value(c.Quota), int64(value(c.Shares))
		h.CpusetCpus, h.CpusetMems = c.Cpus, c.Mems
		if h.CpuPeriod > 0 && h.CpuQuota > 0 {
			h.NanoCpus = int64(1e9 * float64(h.CpuQuota) / float64(h.CpuPeriod))
		}
	}
	if r.Pids != nil {
		h.PidsLimit = r.Pids.Limit
	}
	if r.BlockIO != nil {
		h.BlkioWeight = value(r.BlockIO.Weight)
	}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func lists(h *HostConfig, s spec.Container, p spec.Pod) {
	for _, m := range s.Mounts {
		switch m.Type {
		case spec.Tmpfs:
			if h.Tmpfs == nil {
				h.Tmpfs = map[string]string{}
			}
			h.Tmpfs[m.Target] = strings.Join(m.Options, ",")
		default:
			bind := m.Source + ":" + m.Target
			if m.ReadOnly {
				bind += ":ro"
			}
			h.Binds = append(h.Binds, strings.TrimPrefix(bind, ":"))
		}
	}
	for _, d := range s.Devices {
		m := DeviceMapping{d.Source, d.Target, d.Access}
		if m.PathInContainer == "" {
			m.PathInContainer = d.Source
		}
		if m.CgroupPermissions == "" {
			m.CgroupPermissions = "rwm"
		}
		h.Devices = append(h.Devices, m)
	}
	for _, l := range s.Rlimits {
		h.Ulimits = append(h.Ulimits, Ulimit{strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_")), int64(l.Soft), int64(l.Hard)})
	}
	for _, a := range p.Hosts {
		for _, n := range a.Hostnames {
			h.ExtraHosts = append(h.ExtraHosts, n+":"+a.IP)
		}
	}
	if p.DNS != nil {
		h.Dns, h.DnsSearch, h.DnsOptions = p.DNS.Nameservers, p.DNS.Searches, p.DNS.Options
	}
}

func securityOpt(s spec.Security) (all []string) {
	if s.NoNewPrivileges {
		all = append(all, "no-new-privileges")
	}
	switch s.Seccomp {
	case "", "default":
	case "unconfined":
		all = append(all, "seccomp=unconfined")
	default:
		all = append(all, "seccomp="+s.Seccomp)
	}
	if s.AppArmor != "" {
		all = append(all, "apparmor="+s.AppArmor)
	}
	if s.Unmasked {
		all = append(all, "systempaths=unconfined")
	}
	return append(all, labelOpt(s.SELinux)...)
}

// labelOpt is an SELinux label as it was asked for, in Docker's words.
func labelOpt(label string) (all []string) {
	if label == "disable" {
		return []string{"label=disable"}
	}
	names := []string{"user", "role", "type", "level"}
	for i, part := range strings.SplitN(label, ":", len(names)) {
		if part != "" {
			all = append(all, "label="+names[i]+":"+part)
		}
	}
	return all
}

// mountPoints takes sources from what the process was made from: there volumes have
// their directories.
func mountPoints(in status.ContainerInspection) []MountPoint {
	from := map[string]string{}
	if in.OCI != nil {
		for _, m := range in.OCI.Mounts {
			from[m.Destination] = m.Source
		}
	}
	all := []MountPoint{}
	for _, m := range in.Wish().Mounts {
		p := MountPoint{
			Type: string(m.Type), Source: m.Source, Destination: m.Target, RW: !m.ReadOnly,
			Mode: strings.Join(m.Options, ","), Propagation: m.Propagation,
		}
		if m.Type == spec.Volume {
			p.Name, p.Source = m.Source, from[m.Target]
		}
		if p.Propagation == "" && m.Type != spec.Tmpfs {
			p.Propagation = "rprivate"
		}
		all = append(all, p)
	}
	return all
}

func config(in status.ContainerInspection, p status.Pod) Config {
	s := *in.Wish()
	c := Config{
		Hostname: s.Hostname, User: s.User, WorkingDir: s.WorkingDir, Image: in.Image, Env: s.Env, Cmd: s.Args, Entrypoint: s.Command,
		Labels: s.Labels, Annotations: s.Annotations, StopSignal: s.StopSignal, StopTimeout: s.StopTimeout,
		Tty: s.TTY, OpenStdin: s.Stdin, StdinOnce: s.StdinOnce,
	}
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	if c.Hostname == "" {
		c.Hostname = p.Spec.Hostname
	}
	if o := in.OCI; o != nil {
		if o.Hostname != "" {
			c.Hostname = o.Hostname
		}
		if o.Process != nil {
			c.Env, c.WorkingDir = o.Process.Env, o.Process.Cwd
			if c.User == "" {
				c.User = fmt.Sprintf("%d:%d", o.Process.User.UID, o.Process.User.GID)
			}
		}
	}
	return c
}
