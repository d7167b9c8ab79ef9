package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// fileLabel returns a file's label as the kernel shows it.
func (h *host) fileLabel(path string) string {
	h.Helper()
	out, err := exec.Command("stat", "-c", "%C", path).CombinedOutput()
	if err != nil {
		h.Fatalf("stat %s: %v\n%s", path, err, out)
	}
	return strings.TrimSpace(string(out))
}

// label is the SELinux label of a process.
func (h *host) label(pid int) string { return strings.TrimRight(h.confined(pid), "\x00") }

// level is what comes after the type.
func level(label string) string {
	parts := strings.SplitN(label, ":", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[3]
}

// TestSELinux: a container that asks for nothing has the policy's label for containers with
// categories of its own, and so has everything in its file systems; an exec has them, too.
func TestSELinux(t *testing.T) {
	testenv.Require(t, testenv.SELinux)
	h := start(t)
	seen := map[string]bool{}
	for _, x := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"host users", []string{"--userns", "host"}},
		{"no new privileges", []string{"--security-opt", "no-new-privileges"}},
		{"terminal", []string{"-t"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			c := h.container("c", append(x.args, "--tmpfs", "/scratch", "-v", "/data")...)
			pid := h.pid(c)
			got := h.label(pid)
			own := level(got)
			if !strings.HasPrefix(got, "system_u:system_r:container_t:s0:c") || seen[own] {
				t.Errorf("the container's process is %q, want container_t and categories that none of %v has", got, seen)
			}
			seen[own] = true
			root := fmt.Sprintf("/proc/%d/root", pid)
			for _, path := range []string{"/", "/bin/sh", "/dev", "/dev/null", "/dev/shm", "/scratch", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/proc/acpi"} {
				if _, err := os.Lstat(root + path); err != nil && path == "/proc/acpi" {
					continue
				}
				if l, want := h.fileLabel(root+path), "system_u:object_r:container_file_t:"+own; l != want {
					t.Errorf("%s is %q, want %q", path, l, want)
				}
			}
			if l := h.fileLabel(root + "/data"); l != "system_u:object_r:container_file_t:s0" {
				t.Errorf("a volume is %q, want it for all containers", l)
			}
			const try = "touch /made /scratch/made /dev/shm/made /data/made && cat /etc/hosts /etc/resolv.conf >/dev/null && cat /proc/self/attr/current"
			if r := h.run("exec", c, "sh", "-c", try); r.code != 0 || strings.TrimRight(r.out, "\x00\n") != got {
				t.Errorf("an exec is %q, want %q; exit %d, %s", r.out, got, r.code, r.err)
			}
		})
	}
}

// TestSELinuxAsked: what is asked for stands above the policy's label, and disable is none.
func TestSELinuxAsked(t *testing.T) {
	testenv.Require(t, testenv.SELinux)
	h := start(t)
	own := h.label(os.Getpid())
	for _, x := range []struct {
		name, want string
		args       []string
	}{
		{"level", "system_u:system_r:container_t:s0:c5,c6", []string{"--security-opt", "label=level:s0:c5,c6"}},
		{"disable", own, []string{"--security-opt", "label=disable"}},
		{"privileged", own, []string{"--privileged", "--userns", "host"}},
		{"host pid", own, []string{"--pid", "host", "--userns", "host"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			if got := h.label(h.pid(h.container("c", x.args...))); got != x.want {
				t.Errorf("the container's process is %q, want %q", got, x.want)
			}
		})
	}
	for option, want := range map[string]string{
		"label=type:carob_no_such_t": "carob_no_such_t", "label=level:\"x": "is not user:role:type:level",
	} {
		if r := h.run("run", "--rm", "--security-opt", option, image, "true"); r.code != 125 || !strings.Contains(r.err, want) {
			t.Errorf("%s: exit %d, %q", option, r.code, r.err)
		}
	}
}

// TestSELinuxApart: a file with one container's label is out of reach of another, whose user
// might otherwise read it; with the shared label it is not.
func TestSELinuxApart(t *testing.T) {
	testenv.Require(t, testenv.SELinux)
	h := start(t)
	dir := filepath.Join(h.dir, "data")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/file", []byte("secret\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	outside := h.fileLabel("/etc/hostname")
	read := func(option string) result {
		return h.run("run", "--rm", "--userns", "host", "-v", dir+":/data"+option, image, "cat", "/data/file")
	}
	if r := read(""); r.code == 0 {
		t.Errorf("a file of the host: exit %d, %q", r.code, r.out)
	}
	if r := read(":Z"); r.code != 0 || r.out != "secret\n" {
		t.Errorf("relabelled for it: exit %d, %q, %s", r.code, r.out, r.err)
	}
	if l := h.fileLabel(dir + "/file"); !strings.HasPrefix(l, "system_u:object_r:container_file_t:s0:c") {
		t.Errorf("Z leaves the label %q", l)
	}
	if r := read(""); r.code == 0 {
		t.Errorf("a file of another container: exit %d, %q", r.code, r.out)
	}
	if r := read(":z"); r.code != 0 {
		t.Errorf("relabelled for all: exit %d, %s", r.code, r.err)
	}
	if r := read(""); r.code != 0 {
		t.Errorf("a file for all: exit %d, %s", r.code, r.err)
	}
	if l := h.fileLabel(dir + "/file"); l != "system_u:object_r:container_file_t:s0" {
		t.Errorf("z leaves the label %q", l)
	}
	if l := h.fileLabel("/etc/hostname"); l != outside {
		t.Errorf("a link led to %q", l)
	}
	if r := h.run("run", "--rm", "-v", "/etc:/data:z", image, "true"); r.code == 0 || !strings.Contains(r.err, "relabel") {
		t.Errorf("the host's /etc: exit %d, %q", r.code, r.err)
	}
}

// TestCRISELinux: containers of a pod share their categories; the pod's options stand for
// what a container's leave out; selinux_relabel is Docker's Z.
func TestCRISELinux(t *testing.T) {
	testenv.Require(t, testenv.SELinux)
	k := start(t).kubelet()
	dir := filepath.Join(k.dir, "volume")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	pod, first := k.running(nil, func(c *cri.ContainerConfig) {
		c.Mounts = []*cri.Mount{{HostPath: dir, ContainerPath: "/v", SelinuxRelabel: true}}
	})
	got := k.label(k.processOf(first))
	if !strings.HasPrefix(got, "system_u:system_r:container_t:s0:c") {
		t.Errorf("the container is %q", got)
	}
	if l := k.fileLabel(dir); l != "system_u:object_r:container_file_t:"+level(got) {
		t.Errorf("its volume is %q", l)
	}
	r := k.ask(pod, k.sandbox(nil), "exec sleep 1000000")
	r.Config.Metadata.Name = "second"
	second := k.create(r)
	k.start(second)
	if l := k.label(k.processOf(second)); l != got {
		t.Errorf("the pod's second container is %q, the first %q", l, got)
	}
	_, asked := k.running(func(p *cri.PodSandboxConfig) {
		p.Metadata.Name = "asked"
		p.Linux.SecurityContext.SelinuxOptions = &cri.SELinuxOption{Level: "s0:c7,c8"}
	}, nil)
	if l := k.label(k.processOf(asked)); l != "system_u:system_r:container_t:s0:c7,c8" {
		t.Errorf("with the pod's level it is %q", l)
	}
}
