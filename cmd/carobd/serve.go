package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"

	"github.com/spf13/cobra"

	"carob/internal/api"
	"carob/internal/api/launch"
	"carob/internal/api/server"
	"carob/internal/checkpoint"
	"carob/internal/cri"
	"carob/internal/cri/checkpoints"
	"carob/internal/fault"
	"carob/internal/groups"
	"carob/internal/host"
	"carob/internal/image"
	"carob/internal/image/registry"
	"carob/internal/kube"
	plan "carob/internal/plan/cgroup"
	"carob/internal/plan/ident"
	"carob/internal/plan/oci"
	"carob/internal/pod"
	"carob/internal/roots"
	"carob/internal/status"
	"carob/internal/sys/apparmor"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/mount"
	"carob/internal/sys/netns"
	"carob/internal/sys/selinux"
	"carob/internal/sys/session"
	"carob/internal/sys/task"
	"carob/internal/telemetry"
	"carob/internal/volume"
)

func serveCommand(c settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve [FLAGS]", Short: "Run the daemon in the foreground",
		Long: `Runs the daemon. Containers do not depend on it: they go on when it stops, and their
exit codes are there when it is back. SIGTERM and SIGINT end it; SIGHUP has it read its
configuration file again, as carob config reload does.`,
		Example: "  carob serve --root /var/lib/carob --run /run/carob",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now, err := c.complete()
			if err == nil {
				err = able(os.Geteuid(), task.Files)
			}
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), session.Quit()...)
			defer stop()
			debug.SetGCPercent(gcPercent)
			hangUp := make(chan os.Signal, 1)
			signal.Notify(hangUp, session.Reload()) // it may come before there is what to reload
			return serve(ctx, newConfiguration(c, now, hangUp))
		},
	}
	c.bind(cmd)
	return cmd
}

// leastFiles is the least limit of open files: a supervisor is started with files at numbers
// from 1000 on (package ns), and holds some for each container.
const leastFiles = 1024

// able says what would only show when the first container is started.
func able(euid int, files func() (soft, hard uint64)) error {
	if euid != 0 {
		return fault.New(fault.Denied, "daemon: only root can run it")
	}
	if _, hard := files(); hard < leastFiles {
		return fault.New(fault.Denied, fmt.Sprintf("daemon: the limit of open files is %d, it needs %d (ulimit -n, LimitNOFILE=)", hard, leastFiles))
	}
	return nil
}

// gcPercent lets the daemon, which has 2 MB in use with few pods, allocate 8 MB more
// between collections. With Go's 100 they came with every fifth start and took a CPU
// from it for milliseconds; this way with every twelfth.
const gcPercent = 200

// serve wires the house together and runs it until ctx ends.
func serve(ctx context.Context, conf *configuration) (err error) {
	session.Umask(0o022)
	c, log := conf.now, conf.log
	door, err := launch.Open(launch.Dirs{Run: c.run, Root: c.root}, c.socket, launch.Activation{PID: os.Getenv("LISTEN_PID"), FDs: os.Getenv("LISTEN_FDS")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, door.Release()) }()
	watch, err := openWatching(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watch.Close()) }()
	facts, cgroups, err := machine(c, log)
	if err != nil {
		return err
	}
	images, err := openImages(ctx, c, log)
	if err != nil {
		return err
	}
	layout, err := hierarchies()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, layout.Prune()) }()
	users := &roots.Users{}
	rootfs := roots.New(users)
	defer rootfs.Close()
	handlers, err := openHandlers(c, layout, users, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, handlers.Close()) }()
	ranges, err := idRanges(c)
	if err != nil {
		return err
	}
	records, networks, err := openConnections(c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, networks.Close()) }()
	plugins, err := openPlugins(c.plugging, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plugins.Close()) }()
	volumes := volume.New(filepath.Join(c.root, "volumes"))
	engine := pod.New(telemetry.Steps(pod.Deps{
		Sandboxes: handlers.router, Processes: handlers.router, Groups: groups.New(layout), Roots: rootfs, Observer: groups.New(layout),
		Images: images, Volumes: volumes, Network: networks, Store: records, Devices: plugins.devices, Plugins: plugins.hooks,
		Facts: facts, Cgroups: cgroups, Log: log, RunDir: c.run, LibDir: c.root, Ranges: ranges,
	}, watch.steps()))
	defer func() { err = errors.Join(err, engine.Close()) }()
	networks.know(engine)
	conf.handlers, conf.registries = handlers, c.client(ctx, images, watch.received(), log)
	return attend(ctx, c, door, house{conf: conf, watch: watch, engine: engine, images: images, volumes: volumes, layout: layout, handlers: handlers, networks: networks, plugins: plugins, facts: facts, cgroups: cgroups, log: log})
}

// house is what the door leads to.
type house struct {
	conf     *configuration
	watch    *watching
	engine   *pod.Engine
	images   *image.Store
	volumes  *volume.Store
	layout   *cgroup.Layout
	handlers *handlers
	networks *connections
	plugins  *plugged
	facts    host.Facts
	cgroups  plan.Placement
	log      *slog.Logger
}

// attend brings the engine up to date and serves both doors, the API's and the
// kubelet's, until ctx ends or one of them cannot go on.
func attend(ctx context.Context, c settings, door *launch.Door, h house) (err error) {
	engine, log := h.engine, h.log
	if err := errors.Join(engine.Recover(ctx), h.handlers.sweep()); err != nil {
		log.Error("recover", "error", err)
	}
	if err := h.plugins.serve(engine); err != nil {
		return err
	}
	applier := newApplier(c, engine, log)
	registries := pulls{h.conf.registries, h.watch.steps()}
	services := cri.Services{
		Engine: engine, Images: h.images, Checkpoints: &checkpoints.Service{Engine: engine, Images: h.images, Maker: maker(c, h)}, Pull: puller(registries), Groups: groups.New(h.layout), Host: criHost(h.facts, h.layout), Version: version,
		Network: h.networks.Ready, SystemdCgroups: h.cgroups.Driver == plan.Systemd, Handlers: h.handlers.forKubelet, Root: c.root, UpdatePod: h.plugins.hooks.UpdatePod, Options: h.watch.rpcs(), Log: log,
	}
	kubelet, err := openCRI(c, services)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer func() { end(); beside.Wait(); err = errors.Join(err, <-kubelet.ended) }()
	beside.Go(func() { h.conf.listen(ctx) })
	beside.Go(func() { h.watch.serve(ctx, services) })
	go kubelet.serve(ctx, end)
	if err := launch.Ready(c.readyFD); err != nil {
		log.Warn("ready", "error", err) // whoever started the daemon has gone
	}
	log.Info("ready", "version", version, "socket", c.socket, "root", c.root)
	return server.Serve(ctx, door, server.Services{
		Engine: engine, Images: h.images, Volumes: h.volumes, HostMounts: image.NewHostMounts(h.images), Committer: image.NewCommitter(h.images), Checkpoints: maker(c, h), Registries: registries, Manifests: manifests{applier},
		Networks: shown{h.networks.builtin, h.networks.CNI}, Wiring: pod.Wiring{Engine: engine}, Dial: netns.DialProcess, Clone: mount.CloneFrom,
		Host: describe(c, h.facts, h.cgroups.Driver), Handlers: h.handlers.describe, Reload: h.conf.reload, Watch: h.watch.calls(), Log: log,
	})
}

// maker makes checkpoints.
func maker(c settings, h house) *checkpoint.Maker {
	return &checkpoint.Maker{Engine: h.engine, Committer: image.NewCommitter(h.images), Scratch: filepath.Join(c.root, "restore")}
}

// newApplier carries out manifests, and has removed what earlier pods of theirs left.
func newApplier(c settings, engine *pod.Engine, log *slog.Logger) *kube.Applier {
	applier := &kube.Applier{
		Engine: kubeEngine{engine}, Mounts: hostMounts{}, Logs: logTail{}, Facts: kube.Local, Dir: filepath.Join(c.root, "pods"),
	}
	if err := applier.Sweep(liveUIDs(engine)); err != nil {
		log.Error("sweep volumes", "error", err)
	}
	return applier
}

// client is who speaks with registries, until ctx ends.
func (c settings) client(ctx context.Context, images *image.Store, received func(int), log *slog.Logger) *registry.Client {
	return registry.New(registry.Config{
		Images: image.NewIntake(images), Files: registry.Files{Dir: c.registries, Policy: c.policy}, Agent: "carob/" + version, Received: received, Log: log,
		Ending: func() bool { return ctx.Err() != nil },
	})
}

// machine reads the facts of this one, decides who makes its cgroups, and loads the
// AppArmor profile of containers that ask for none.
func machine(c settings, log *slog.Logger) (facts host.Facts, cgroups plan.Placement, err error) {
	if facts, err = host.Read(); err != nil {
		return facts, cgroups, err
	}
	if facts.AppArmor {
		err := apparmor.LoadDefault(oci.AppArmorProfile)
		if facts.DefaultProfile = err == nil; err != nil {
			log.Warn("no default AppArmor profile", "error", err)
		}
	}
	if facts.SELinux {
		facts.SELinuxProcess, facts.SELinuxFile, err = selinux.Defaults()
		if err != nil {
			log.Warn("no default SELinux labels", "error", err)
		}
	}
	cgroups, err = plan.Place(plan.Driver(c.cgroupDriver), facts)
	return facts, cgroups, err
}

// hierarchies finds the host's hierarchies. In each stays a group for the pods that name
// no other parent.
func hierarchies() (*cgroup.Layout, error) {
	layout, err := cgroup.Detect()
	if err == nil {
		layout.Keep("/carob")
	}
	return layout, err
}

// openImages opens the image store and makes the toolbox image, without which carob
// still works.
func openImages(ctx context.Context, c settings, log *slog.Logger) (*image.Store, error) {
	images, err := image.Open(filepath.Join(c.root, "images"))
	if err != nil {
		return nil, err
	}
	path, err := launch.Beside("carob-toolbox")
	if err == nil {
		_, err = images.EnsureToolbox(ctx, path)
	}
	if err != nil {
		log.Warn("no toolbox image", "error", err)
	}
	return images, nil
}

// idRanges keeps pods' user namespaces away from what /etc/subuid and /etc/subgid
// give to others.
func idRanges(c settings) (pod.Ranges, error) {
	r := pod.Ranges{First: c.idBase, Size: c.idSize, Count: ident.DefaultCount}
	for _, path := range []string{"/etc/subuid", "/etc/subgid"} {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return r, err
		}
		taken, err := ident.ParseSubIDs(f)
		_ = f.Close() // only read from
		if err != nil {
			return r, fmt.Errorf("%s: %w", path, err)
		}
		r.Taken = append(r.Taken, taken...)
	}
	return r, nil
}

func liveUIDs(e *pod.Engine) func(string) bool {
	live := map[string]bool{}
	for _, p := range e.Pods(status.Filter{}) {
		live[p.Spec.UID] = true
	}
	return func(uid string) bool { return live[uid] }
}

func describe(c settings, f host.Facts, driver plan.Driver) api.Host {
	yes := map[bool]string{true: "yes", false: "no"}
	return api.Host{
		About: launch.About(version), Root: c.root, Run: c.run, Pid: os.Getpid(), Kernel: f.KernelRelease, Cgroup: f.CgroupMode,
		CPUs: f.CPUs, Memory: uint64(f.Memory), CgroupDriver: string(driver),
		Features: map[string]string{
			"apparmor": yes[f.AppArmor], "selinux": yes[f.SELinux], "seccomp": yes[f.Seccomp()],
			"user namespaces": yes[f.UserNamespaces], "swap limits": yes[f.SwapAccounting],
		},
	}
}
