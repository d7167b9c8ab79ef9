package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// withPlugins is a machine with directories for NRI plugins and a CDI device.
func withPlugins(t *testing.T) *host {
	h := startOwn(t)
	for _, dir := range []string{"plugins", "conf.d", "cdi"} {
		if err := os.Mkdir(filepath.Join(h.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	describe(h, "cdiVersion: 1.0.0\nkind: vendor.example/thing\ndevices:\n- {name: one, containerEdits: {env: [CDI=one]}}\n")
	return h
}

// serveNRI starts a daemon that takes NRI plugins and gives them this time to answer.
func (h *host) serveNRI(patience time.Duration) {
	h.Helper()
	h.serveConfigured(fmt.Sprintf(`cdi-spec-dirs = ["%[1]s/cdi"]
[network]
driver = "builtin"
[nri]
enable = true
socket = "%[1]s/nri.sock"
plugin-dir = "%[1]s/plugins"
plugin-config-dir = "%[1]s/conf.d"
request-timeout = "%[2]v"
registration-timeout = "%[3]v"
`, h.dir, testenv.Patience(patience), testenv.Patience(5*time.Second)))
}

// plug is a plugin that has connected.
type plug struct {
	*host
	log string
	cmd *exec.Cmd
}

// plug starts the tests' plugin and waits until it has been shown what there is.
func (h *host) plug(name string) *plug {
	h.Helper()
	p := &plug{host: h, log: filepath.Join(h.dir, name+".log")}
	p.cmd = exec.Command("/proc/self/exe")
	p.cmd.Env = append(os.Environ(), pluginLog+"="+p.log, pluginSocket+"="+filepath.Join(h.dir, "nri.sock"), pluginName+"="+name)
	if err := p.cmd.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(p.unplug)
	p.sees("synchronized")
	return p
}

// unplug kills the plugin.
func (p *plug) unplug() {
	if p.cmd != nil && p.cmd.Process != nil && p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill() // it may have ended by itself
		_ = p.cmd.Wait()
	}
}

// seen is what the plugin has seen.
func (p *plug) seen() []string {
	text, _ := os.ReadFile(p.log) // nothing yet
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// sees waits until the plugin has seen something that begins so.
func (p *plug) sees(begin string) {
	p.Helper()
	if !wait(10*time.Second, func() bool {
		return slices.ContainsFunc(p.seen(), func(l string) bool { return strings.HasPrefix(l, begin) })
	}) {
		p.Fatalf("the plugin does not see %q but\n%s", begin, strings.Join(p.seen(), "\n"))
	}
}

// saw wants the plugin to have seen just this since the line that begins so.
func (p *plug) saw(since string, want ...string) {
	p.Helper()
	p.sees(want[len(want)-1])
	all := p.seen()
	i := slices.IndexFunc(all, func(l string) bool { return strings.HasPrefix(l, since) })
	if i < 0 || !slices.Equal(all[i:], want) {
		p.Errorf("the plugin saw\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
	}
}

// TestNRISolo: a plugin sees the life of a container of `carob run`, in order, and changes what
// it is made from; the process and the kernel show it.
func TestNRISolo(t *testing.T) {
	h := withPlugins(t)
	h.serveNRI(2 * time.Second)
	p := h.plug("watch")
	name := h.name("c")
	out := h.ok("run", "--name", name, "--label", "nri=adjust", "-e", "TAKEN=1", "-e", "GIVEN=no", image, "sh", "-c",
		`echo $GIVEN ${TAKEN-gone} $CDI; ls -l /dev/given | cut -c 1; ls /given/watch.log; echo x > /given/x || echo read-only; ulimit -n
cat /proc/self/oom_score_adj`)
	if out != "yes gone one\nc\n/given/watch.log\nread-only\n100\n555" {
		t.Errorf("the container sees\n%s", out)
	}
	in := h.ok("inspect", name)
	if !strings.Contains(in, `"given": "yes"`) || !strings.Contains(in, `"Memory": 67108864`) {
		t.Error("inspect does not show what has changed")
	}
	h.ok("rm", name)
	p.saw("run pod",
		"run pod "+name+` uid="" pid=false`, `create `+name+" in "+name+` args=["sh" "-c" `+strconv.Quote(`echo $GIVEN ${TAKEN-gone} $CDI; ls -l /dev/given | cut -c 1; ls /given/watch.log; echo x > /given/x || echo read-only; ulimit -n
cat /proc/self/oom_score_adj`)+"]", "created "+name+` given="yes"`, "start "+name, "started "+name,
		"stop "+name+" CONTAINER_STOPPED code=0", "remove "+name, "stop pod "+name, "remove pod "+name)
}

// TestNRIRefusals: what a plugin refuses is not made and leaves nothing; what a plugin asks for
// and cannot have is an error that names it.
func TestNRIRefusals(t *testing.T) {
	h := withPlugins(t)
	h.serveNRI(2 * time.Second)
	p := h.plug("watch")
	for wish, want := range map[string]string{
		"refuse": "this container is not wanted", "cgroup": "linux.cgroups_path", "sysctl": "linux.sysctl",
		"hook": "hooks: carob's own handler runs none", "proc": "/proc/sys", "refuse-start": "this start is not wanted",
	} {
		r := h.code(125, "run", "--rm", "--name", h.name(wish), "--label", "nri="+wish, image, "true")
		if !strings.Contains(r.err, want) {
			t.Errorf("%s: %q", wish, r.err)
		}
		p.sees("remove pod " + h.name(wish))
	}
	if got := h.ok("ps", "-aq"); got != "" {
		t.Errorf("left behind: %q", got)
	}
	h.ok("run", "--rm", "--name", h.name("refuse"), image, "true")
}

// TestNRIUpdates: a plugin changes limits that change, and others unasked.
func TestNRIUpdates(t *testing.T) {
	h := withPlugins(t)
	h.serveNRI(2 * time.Second)
	p := h.plug("watch")
	memory := func(name string) string { return h.ok("inspect", "--format", "{{.HostConfig.Memory}}", name) }
	name := h.container("c", "--label", "nri=adjust")
	h.ok("update", "--memory", "100m", name)
	if got, want := memory(name), strconv.Itoa(50<<20); got != want {
		t.Errorf("memory %s, want %s", got, want)
	}
	checkLimit(h, name, 50)
	p.sees("updated " + name)
	later := h.container("later", "--label", "nri=later")
	p.sees("unsolicited: 1 failed, false")
	if got, want := memory(later), strconv.Itoa(48<<20); got != want {
		t.Errorf("memory %s, want %s", got, want)
	}
	if slices.Contains(p.seen(), "updated "+later) {
		t.Error("the plugin is told of its own update")
	}
}

// TestNRICri: the order of events of a pod of the kubelet's, and a new plugin that is shown it.
func TestNRICri(t *testing.T) {
	h := withPlugins(t)
	h.serveNRI(2 * time.Second)
	p := h.plug("watch")
	k := h.kubelet()
	s := k.sandbox(nil)
	pod := k.runPod(s)
	k.start(k.create(k.ask(pod, s, "exec sleep 1000000")))
	r := k.ask(pod, s, "exit 3")
	r.Config.Metadata.Name = "second"
	second := k.create(r)
	k.start(second)
	p.sees("stop second")
	later := h.plug("later")
	for _, want := range []string{"synchronized 1 pods", "synchronized main CONTAINER_RUNNING", "synchronized second CONTAINER_STOPPED"} {
		later.sees(want)
	}
	_, err := k.UpdatePodSandboxResources(k.ctx, &cri.UpdatePodSandboxResourcesRequest{
		PodSandboxId: pod, Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 200 << 20}, Overhead: &cri.LinuxContainerResources{MemoryLimitInBytes: 10 << 20},
	})
	if err != nil {
		t.Error(err)
	}
	name := s.Metadata.Name
	p.sees("updated pod " + name)
	if _, err := k.StopPodSandbox(k.ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod}); err != nil {
		t.Fatal(err)
	}
	if _, err := k.RemovePodSandbox(k.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod}); err != nil {
		t.Fatal(err)
	}
	p.saw("run pod",
		"run pod "+name+" uid=\""+s.Metadata.Uid+"\" pid=true",
		"create main in "+name+` args=["sh" "-c" "exec sleep 1000000"]`, `created main given=""`, "start main", "started main",
		"create second in "+name+` args=["sh" "-c" "exit 3"]`, `created second given=""`, "start second", "started second", "stop second CONTAINER_STOPPED code=3",
		fmt.Sprintf("update pod %s %d+%d", name, 210<<20, 10<<20), "updated pod "+name,
		"stop main CONTAINER_STOPPED code=137", "stop pod "+name, "remove main", "remove second", "remove pod "+name)
	bad := k.sandbox(func(c *cri.PodSandboxConfig) {
		c.Metadata.Name = k.name("bad")
		c.Labels = map[string]string{"nri": "refuse-pod"}
	})
	_, err = k.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: bad})
	wantCode(t, err, codes.PermissionDenied, "a pod that a plugin refuses")
	bad.Labels = nil
	k.runPod(bad)
}

// TestNRIHang: a plugin that does not answer delays whom it was asked about, others that long at
// most and once, and is gone then; one that is killed delays nobody.
func TestNRIHang(t *testing.T) {
	const patience = time.Second
	h := withPlugins(t)
	h.serveNRI(patience)
	p := h.plug("watch")
	hung := h.cmd("run", "--rm", "--label", "nri=hang", image, "true")
	if err := hung.Start(); err != nil {
		t.Fatal(err)
	}
	p.sees("create")
	other := h.run("run", "--rm", image, "true")
	if other.code != 0 || other.took > testenv.Patience(10*patience) {
		t.Errorf("beside a plugin that hangs: exit %d after %v\n%s", other.code, other.took, other.err)
	}
	if err := hung.Wait(); err != nil {
		t.Errorf("the container goes on without the plugin: %v", err)
	}
	p.unplug()
	second := h.plug("second")
	if err := second.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.ok("run", "--rm", image, "true")
}

// TestNRILaunched: the daemon starts plugins of its directory with their configuration, also after it
// was killed, and shows them what goes on.
func TestNRILaunched(t *testing.T) {
	h := withPlugins(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := copyFile(self, filepath.Join(h.dir, "plugins", "10-launched")); err != nil {
		t.Fatal(err)
	}
	p := &plug{host: h, log: filepath.Join(h.dir, "launched.log")}
	if err := os.WriteFile(filepath.Join(h.dir, "conf.d", "10-launched.conf"), []byte(p.log), 0o600); err != nil {
		t.Fatal(err)
	}
	h.serveNRI(2 * time.Second)
	p.sees("configured by carob")
	name := h.container("c")
	p.sees("started " + name)
	if err := syscall.Kill(h.daemon(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.eventually("the daemon is gone", func() bool { return h.daemon() == 0 })
	if err := os.Remove(p.log); err != nil {
		t.Fatal(err)
	}
	h.serveNRI(2 * time.Second)
	p.sees("synchronized " + name + " CONTAINER_RUNNING")
	h.ok("rm", "-f", name)
	p.saw("stop "+name, "stop "+name+" CONTAINER_STOPPED code=137", "remove "+name, "stop pod "+name, "remove pod "+name)
}
