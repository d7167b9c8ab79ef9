package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// serveConfigured starts the machine's daemon with a configuration file of this text. It goes with the
// machine.
func (h *host) serveConfigured(config string) {
	h.Helper()
	path := filepath.Join(h.dir, "config.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		h.Fatal(err)
	}
	log, err := os.Create(filepath.Join(h.dir, "serve.log"))
	if err != nil {
		h.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(filepath.Join(h.dir, "bin", "carob"), "serve", "--config", path)
	c.Env, c.Dir, c.Stderr = h.env, h.dir, log
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	go func() { _ = c.Wait() }() // the machine ends it
	h.eventually("the daemon answers", func() bool { return h.daemon() != 0 && h.run("ps").code == 0 })
}

// withThings is a machine with CDI devices vendor.example/thing: "one" with all that a container
// can be given, "hooked" with a hook that writes a file, "rdt" with what nobody honours.
func withThings(t *testing.T) *host {
	h := startOwn(t)
	dir := filepath.Join(h.dir, "cdi")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	describe(h, fmt.Sprintf(`cdiVersion: 1.1.0
kind: vendor.example/thing
containerEdits: {env: [ALL=yes]}
devices:
- name: one
  containerEdits:
    env: [ONE=1]
    deviceNodes: [{path: /dev/thing/one, hostPath: /dev/zero, permissions: r, uid: 7}]
    mounts: [{hostPath: %[1]s, containerPath: /opt/thing, options: [ro, rbind, nosuid]}]
    additionalGids: [4242]
- name: hooked
  containerEdits:
    hooks: [{hookName: createRuntime, path: /bin/touch, args: [touch, %[1]s/hooked]}]
- name: rdt
  containerEdits: {intelRdt: {closID: x}}
`, dir))
	h.serveConfigured("cdi-spec-dirs = [\"" + dir + "\"]\n[network]\ndriver = \"builtin\"\n")
	return h
}

func describe(h *host, text string) {
	if err := os.WriteFile(filepath.Join(h.dir, "cdi", "thing.yaml"), []byte(text), 0o644); err != nil {
		h.Fatal(err)
	}
}

// inside looks at what device "one" gives.
const inside = `ls -ln /dev/thing/one | cut -c 1-10; ls -ln /dev/thing/one | tr -s ' ' | cut -d ' ' -f 3,5,6
head -c 3 /dev/thing/one | wc -c; echo $ALL $ONE; id | grep -c 4242; ls /opt/thing; echo x > /opt/thing/x || echo read-only`

const seen = "crw-rw-rw-\n7 1, 5\n3\nyes 1\n1\nthing.yaml\nread-only"

func TestCDI(t *testing.T) {
	h := withThings(t)
	for _, how := range [][]string{
		{"--device", "vendor.example/thing=one"}, {"--annotation", "cdi.k8s.io/x=vendor.example/thing=one"},
		{"--userns", "host", "--device", "vendor.example/thing=one"},
	} {
		if got := h.ok(append(append([]string{"run", "--rm"}, how...), image, "sh", "-c", inside)...); got != seen {
			t.Errorf("%s:\n%s\nwant\n%s", how, got, seen)
		}
	}
	name := h.container("thing", "--device", "vendor.example/thing=one")
	got := h.ok("inspect", name)
	if !strings.Contains(got, "vendor.example/thing=one") || !strings.Contains(got, `"Adjusted"`) {
		t.Error("inspect does not show the device")
	}
	for device, want := range map[string]string{
		"hooked": "hooks: carob's own handler runs none", "rdt": "intelRdt", "none": "no specification in ",
	} {
		r := h.code(125, "run", "--rm", "--device", "vendor.example/thing="+device, image, "true")
		if !strings.Contains(r.err, want) {
			t.Errorf("%s: %q", device, r.err)
		}
	}
	describe(h, "kind: [")
	r := h.code(125, "run", "--rm", "--device", "vendor.example/thing=one", image, "true")
	if !strings.Contains(r.err, "thing.yaml") {
		t.Errorf("a broken file: %q", r.err)
	}
	h.ok("restart", "-t", "0", name) // made when it was whole
	if got := h.ok("exec", name, "sh", "-c", "echo $ONE"); got != "1" {
		t.Errorf("after a restart: %q", got)
	}
}

func TestCDIUnderRunc(t *testing.T) {
	testenv.Require(t, testenv.Runc)
	h := withThings(t)
	got := h.ok("run", "--rm", "--runtime", "runc", "--device", "vendor.example/thing=one", image, "sh", "-c", inside)
	if got != seen {
		t.Errorf("%s\nwant\n%s", got, seen)
	}
	h.ok("run", "--rm", "--runtime", "runc", "--device", "vendor.example/thing=hooked", image, "true")
	if _, err := os.Stat(filepath.Join(h.dir, "cdi/hooked")); err != nil {
		t.Errorf("the hook: %v", err)
	}
}

func TestCRIDevicesOfCDI(t *testing.T) {
	k := withThings(t).kubelet()
	_, one := k.running(nil, func(c *cri.ContainerConfig) { c.CDIDevices = []*cri.CDIDevice{{Name: "vendor.example/thing=one"}} })
	if got := k.exec(one, inside); got != seen {
		t.Errorf("CDI_devices:\n%s\nwant\n%s", got, seen)
	}
	if got := k.status(one).GetMounts(); len(got) != 0 {
		t.Errorf("the status shows mounts that nobody asked for: %v", got)
	}
	s := k.sandbox(func(c *cri.PodSandboxConfig) { c.Metadata.Name += "-2" })
	r := k.ask(k.runPod(s), s, "true")
	r.Config.Annotations = map[string]string{"cdi.k8s.io/driver_x": "vendor.example/thing=none"}
	_, err := k.CreateContainer(k.ctx, r)
	wantCode(t, err, codes.NotFound, "a device that nobody describes")
	r.Config.Annotations["cdi.k8s.io/driver_x"] = "vendor.example/thing=one"
	k.create(r)
}
