package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// profile loads an AppArmor profile that allows all but writing to /tmp/forbidden, and
// returns its name.
func (h *host) profile() string {
	h.Helper()
	name := filepath.Base(h.dir) + "-profile"
	text := "profile " + name + " flags=(attach_disconnected,mediate_deleted) {\n" +
		"  file,\n  capability,\n  network,\n  mount,\n  signal,\n  ptrace,\n  unix,\n  deny /tmp/forbidden w,\n}\n"
	parser := func(flag string) {
		c := exec.Command("apparmor_parser", flag)
		c.Stdin = strings.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil {
			h.Errorf("apparmor_parser %s: %v\n%s", flag, err, out)
		}
	}
	parser("--add")
	h.Cleanup(func() { parser("--remove") })
	return name
}

// confined returns the profile that the kernel has a process in: "name (enforce)".
func (h *host) confined(pid int) string {
	h.Helper()
	return readTrim(h, fmt.Sprintf("/proc/%d/attr/current", pid))
}

// child returns the pid of a process's only child.
func (h *host) child(pid int) int {
	h.Helper()
	text := readTrim(h, fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	child, err := strconv.Atoi(text)
	if err != nil {
		h.Fatalf("children of %d: %q", pid, text)
	}
	return child
}

func TestAppArmor(t *testing.T) {
	testenv.Require(t, testenv.AppArmor)
	h := start(t)
	profile := h.profile()
	in := "apparmor=" + profile
	for _, x := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"init", []string{"--init"}},
		{"host users", []string{"--userns", "host"}},
		{"no new privileges", []string{"--security-opt", "no-new-privileges"}},
		{"terminal", []string{"-t"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			c := h.container("c", append(x.args, "--security-opt", in)...)
			want := profile + " (enforce)"
			const try = "touch /tmp/allowed && cat /proc/self/attr/current && ! touch /tmp/forbidden 2>/dev/null"
			if r := h.run("exec", c, "sh", "-c", try); r.code != 0 || strings.TrimSpace(r.out) != want {
				t.Errorf("an exec is in %q, want %q; exit %d, %s", r.out, want, r.code, r.err)
			}
			pid := h.pid(c)
			if x.name == "init" { // which executes nothing; its child does
				pid = h.child(pid)
			}
			if got := h.confined(pid); got != want {
				t.Errorf("the container's process is in %q, want %q", got, want)
			}
		})
	}
	c := h.container("free", "--security-opt", "apparmor=unconfined")
	if got := h.confined(h.pid(c)); got != "unconfined" {
		t.Errorf("unconfined is %q", got)
	}
	r := h.run("run", "--rm", "--security-opt", "apparmor=carob-no-such-profile", image, "true")
	if r.code != 125 || !strings.Contains(r.err, "carob-no-such-profile") {
		t.Errorf("a profile that is not loaded: exit %d, %q", r.code, r.err)
	}
}

// TestAppArmorDefault: a container that asks for no profile has carob's, which holds also
// where capabilities would not, and one that is privileged has none.
func TestAppArmorDefault(t *testing.T) {
	testenv.Require(t, testenv.AppArmor)
	h := start(t)
	const own = "carob-default (enforce)"
	for _, x := range []struct {
		name, want string
		args       []string
	}{
		{"plain", own, nil},
		{"by name", own, []string{"--security-opt", "apparmor=default"}},
		{"privileged", "unconfined", []string{"--privileged", "--userns", "host"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			c := h.container("c", x.args...)
			if got := h.confined(h.pid(c)); got != x.want {
				t.Errorf("the container's process is in %q, want %q", got, x.want)
			}
			if r := h.run("exec", c, "cat", "/proc/self/attr/current"); strings.TrimSpace(r.out) != x.want {
				t.Errorf("an exec is in %q, want %q; %s", r.out, x.want, r.err)
			}
		})
	}
	// A mount that neither capabilities nor the filter refuse: the profile alone is left.
	able := []string{"run", "--rm", "--userns", "host", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"}
	try := []string{image, "mount", "-t", "tmpfs", "none", "/tmp"}
	if r := h.run(append(able, try...)...); r.code == 0 {
		t.Errorf("a mount with CAP_SYS_ADMIN: exit %d, want the profile to refuse it; %s", r.code, r.err)
	}
	if r := h.run(append(append(able, "--security-opt", "apparmor=unconfined"), try...)...); r.code != 0 {
		t.Errorf("the same without a profile: exit %d, %s", r.code, r.err)
	}
}

// TestCRIAppArmorDefault: what a kubelet's pod has that says nothing, RuntimeDefault or
// Unconfined, or is privileged.
func TestCRIAppArmorDefault(t *testing.T) {
	testenv.Require(t, testenv.AppArmor)
	k := start(t).kubelet()
	const own = "carob-default (enforce)"
	as := func(p cri.SecurityProfile_ProfileType) func(*cri.ContainerConfig) {
		return func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.Apparmor = &cri.SecurityProfile{ProfileType: p}
		}
	}
	for _, x := range []struct {
		name, want string
		change     func(*cri.ContainerConfig)
	}{
		{"nothing said", own, nil},
		{"RuntimeDefault", own, as(cri.SecurityProfile_RuntimeDefault)},
		{"Unconfined", "unconfined", as(cri.SecurityProfile_Unconfined)},
	} {
		_, id := k.running(func(p *cri.PodSandboxConfig) { p.Metadata.Name = strings.ToLower(strings.ReplaceAll(x.name, " ", "-")) }, x.change)
		if got := k.confined(k.processOf(id)); got != x.want {
			t.Errorf("%s: the container is in %q, want %q", x.name, got, x.want)
		}
	}
}

// TestCRIAppArmor: a profile holds, and one that is not loaded is refused at creation, as
// the kubelet's users are used to.
func TestCRIAppArmor(t *testing.T) {
	testenv.Require(t, testenv.AppArmor)
	k := start(t).kubelet()
	profile := k.profile()
	in := func(name string) func(*cri.ContainerConfig) {
		return func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: name}
		}
	}
	pod, id := k.running(nil, in(profile))
	if got := k.confined(k.processOf(id)); got != profile+" (enforce)" {
		t.Errorf("the container is in %q", got)
	}
	r := k.ask(pod, k.sandbox(nil), "true")
	r.Config.Metadata.Name = "other"
	in("carob-no-such-profile")(r.Config)
	_, err := k.CreateContainer(k.ctx, r)
	wantCode(t, err, codes.FailedPrecondition, "a profile that is not loaded")
}
