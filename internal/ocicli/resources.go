package ocicli

import (
	"context"
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/ocirt"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
)

func resourceCommands() []command {
	return []command{
		{name: "pause", usage: "ID", help: "stop all processes of a container", least: 1, most: 1, run: pause},
		{name: "resume", usage: "ID", help: "let them go on", least: 1, most: 1, run: resume},
		{name: "update", usage: "ID", help: "change a container's limits", options: updateOptions(), least: 1, most: 1, run: update},
		{
			name: "events", usage: "ID", help: "print what a container uses, again and again", least: 1, most: 1, run: events,
			options: []option{{"interval", "", isText, "time between two readings (5s)"}, {"stats", "", isBool, "once"}},
		},
		{name: "features", usage: "", help: "print what is supported as JSON", run: printFeatures},
		{
			name: "spec", usage: "", help: "write a config.json to begin with", run: spec,
			options: []option{{"bundle", "b", isText, "directory of the bundle (default: the working directory)"}, {"rootless", "", isBool, "for root of a user namespace with no other ids"}},
		},
	}
}

func pause(ctx context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	return 0, c.Pause(ctx)
}

func resume(ctx context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	return 0, c.Resume(ctx)
}

func updateOptions() []option {
	return []option{
		{"resources", "r", isText, "file with the limits as JSON, - is standard input"},
		{"memory", "", isText, "bytes; K, M and G are taken"},
		{"memory-reservation", "", isText, "bytes"},
		{"memory-swap", "", isText, "bytes of memory and swap, -1 is unlimited"},
		{"kernel-memory", "", isText, "refused"},
		{"kernel-memory-tcp", "", isText, "bytes"},
		{"pids-limit", "", isText, "processes"},
		{"cpu-period", "", isText, "microseconds"},
		{"cpu-quota", "", isText, "microseconds"},
		{"cpu-burst", "", isText, "microseconds"},
		{"cpu-share", "", isText, "relative weight"},
		{"cpu-rt-period", "", isText, "microseconds"},
		{"cpu-rt-runtime", "", isText, "microseconds"},
		{"cpu-idle", "", isText, "1 for processes that get what is left"},
		{"cpuset-cpus", "", isText, "list of processors"},
		{"cpuset-mems", "", isText, "list of memory nodes"},
		{"blkio-weight", "", isText, "10 to 1000"},
		{"l3-cache-schema", "", isText, "refused"},
		{"mem-bw-schema", "", isText, "refused"},
	}
}

func update(_ context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	limits, err := a.limits()
	if err != nil {
		return 0, err
	}
	return 0, c.Update(limits)
}

// limits reads them from a file, or from the flags.
func (a *app) limits() (*specs.LinuxResources, error) {
	for _, f := range []string{"l3-cache-schema", "mem-bw-schema"} {
		if a.args.has(f) {
			return nil, fault.New(fault.Unsupported, "--"+f+": a container's schemata do not change")
		}
	}
	if name := a.args.text("resources"); name != "" {
		return a.limitsFrom(name)
	}
	m, u, p := &specs.LinuxMemory{}, &specs.LinuxCPU{Cpus: a.args.text("cpuset-cpus"), Mems: a.args.text("cpuset-mems")}, &specs.LinuxPids{}
	io := &specs.LinuxBlockIO{}
	numbers := map[string]any{
		"memory": &m.Limit, "memory-reservation": &m.Reservation, "memory-swap": &m.Swap, "kernel-memory-tcp": &m.KernelTCP,
		//lint:ignore SA1019 a deprecated limit that is asked for must be refused by name
		"kernel-memory": &m.Kernel, "pids-limit": &p.Limit, "cpu-period": &u.Period, "cpu-quota": &u.Quota, "cpu-burst": &u.Burst,
		"cpu-share": &u.Shares, "cpu-rt-period": &u.RealtimePeriod, "cpu-rt-runtime": &u.RealtimeRuntime, "cpu-idle": &u.Idle,
		"blkio-weight": &io.Weight,
	}
	for flag, to := range numbers {
		if err := a.amount(flag, to); err != nil {
			return nil, err
		}
	}
	return &specs.LinuxResources{Memory: m, CPU: u, Pids: p, BlockIO: io}, nil
}

func (a *app) limitsFrom(name string) (*specs.LinuxResources, error) {
	from := a.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	r := &specs.LinuxResources{}
	if err := ocispec.Read(from, r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// amount reads a flag into one of the kinds of numbers that limits are.
func (a *app) amount(flag string, to any) error {
	text := a.args.text(flag)
	if text == "" {
		return nil
	}
	n, err := ocispec.Size(text)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	fits := true
	switch to := to.(type) {
	case **int64:
		*to = &n
	case **uint64:
		u := uint64(n)
		*to, fits = &u, n >= 0
	case **uint16:
		u := uint16(n)
		*to, fits = &u, int64(u) == n
	}
	if !fits {
		return fault.New(fault.Invalid, "--"+flag+": "+text+" is out of range")
	}
	return nil
}

// event is a line of events, in runc's form.
type event struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Data any    `json:"data,omitempty"`
}

func events(ctx context.Context, a *app) (int, error) {
	c, err := a.load()
	if err != nil {
		return 0, err
	}
	interval := 5 * time.Second
	if t := a.args.text("interval"); t != "" {
		if interval, err = time.ParseDuration(t); err != nil || interval <= 0 {
			return 0, fault.New(fault.Invalid, "--interval: "+t+" is no duration above 0")
		}
	}
	if err := a.report(c); err != nil || a.args.has("stats") {
		return 0, err
	}
	return 0, watch(ctx, a, c, interval)
}

// watch prints events until the container's end, or a signal.
func watch(ctx context.Context, a *app, c *ocirt.Container, interval time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	oom, ended, err := ocirt.Watch(ctx, c)
	if err != nil {
		return err
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			err = a.report(c)
		case <-oom:
			err = a.printLine(event{Type: "oom", ID: c.ID})
		case <-ended:
			return nil
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (a *app) report(c *ocirt.Container) error {
	s, err := c.Stats()
	if err != nil {
		return err
	}
	return a.printLine(event{"stats", c.ID, statsOf(s)})
}

// statsOf puts numbers where runc has them (types.Stats).
func statsOf(s cgroup.Stats) any {
	type object = map[string]any
	return object{
		"cpu": object{
			"usage":      object{"total": s.CPU.Usage, "kernel": s.CPU.System, "user": s.CPU.User},
			"throttling": object{"periods": s.CPU.Periods, "throttledPeriods": s.CPU.ThrottledPeriods, "throttledTime": s.CPU.Throttled},
		},
		"memory": object{
			"cache": s.Memory.Cache,
			"usage": object{"limit": s.Memory.Limit, "usage": s.Memory.Usage},
			"swap":  object{"limit": s.Memory.SwapLimit, "usage": s.Memory.Swap},
			"raw":   object{"rss": s.Memory.RSS, "working_set": s.Memory.WorkingSet, "pgfault": s.Memory.PageFaults, "pgmajfault": s.Memory.MajorFaults},
		},
		"pids": object{"current": s.Pids.Current, "limit": s.Pids.Limit},
	}
}
