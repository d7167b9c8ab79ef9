package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestBadInput wants from every mistake one line that names the thing, Docker's
// exit code, and nothing left behind.
func TestBadInput(t *testing.T) {
	h := startOwn(t)
	taken := h.container("taken")
	h.ok("exec", taken, "true")
	before := h.look()
	for _, c := range []struct {
		name string
		args []string
		code int
		// names is what the line must contain.
		names string
	}{
		{"missing image", []string{"run", "--rm", "--pull", "never", "no.such/image", "true"}, 125, "no.such/image"},
		{"missing registry", []string{"run", "--rm", "localhost:1/image", "true"}, 125, "localhost:1/image"},
		{"no registry's image", []string{"pull", "carob.local/nothing"}, 1, "carob.local/nothing"},
		{"bad image name", []string{"run", "--rm", "Not An Image", "true"}, 125, "Not An Image"},
		{"name taken", []string{"run", "--rm", "--name", taken, image, "true"}, 125, taken},
		{"bad name", []string{"run", "--rm", "--name", "a/b:c", image, "true"}, 125, "a/b:c"},
		{"limit below minimum", []string{"run", "--rm", "--memory", "1k", image, "true"}, 125, "memory"},
		{"memory is no number", []string{"run", "--rm", "--memory", "lots", image, "true"}, 125, "lots"},
		{"more cpus than none", []string{"run", "--rm", "--cpus", "-1", image, "true"}, 125, "cpus"},
		{"command not found", []string{"run", "--rm", image, "no-such-command"}, 127, "no-such-command"},
		{"not executable", []string{"run", "--rm", image, "/etc/passwd"}, 126, "/etc/passwd"},
		{"cwd missing", []string{"run", "--rm", "-w", "/no/such/dir", image, "true"}, 125, "/no/such/dir"},
		{"cwd relative", []string{"run", "--rm", "-w", "dir", image, "true"}, 125, "dir"},
		{"user unknown", []string{"run", "--rm", "-u", "nosuchuser", image, "true"}, 125, "nosuchuser"},
		{"mount source missing", []string{"run", "--rm", "--mount", "type=bind,source=/no/such/source,target=/x", image, "true"}, 125, "/no/such/source"},
		{"mount target relative", []string{"run", "--rm", "-v", "/tmp:relative", image, "true"}, 125, "relative"},
		{"unknown flag", []string{"run", "--no-such-flag", image}, 125, "no-such-flag"},
		{"unknown capability", []string{"run", "--rm", "--cap-add", "NO_SUCH", image, "true"}, 125, "NO_SUCH"},
		{"join nobody", []string{"run", "--rm", "--network", "container:nobody", image, "true"}, 125, "nobody"},
		{"unknown mode", []string{"run", "--rm", "--ipc", "sometimes", image, "true"}, 125, "sometimes"},
		{"pod missing", []string{"run", "--rm", "--pod", "no-such-pod", image, "true"}, 125, "no-such-pod"},
		{"sysctl not namespaced", []string{"run", "--rm", "--sysctl", "kernel.panic=1", image, "true"}, 125, "kernel.panic"},
		{"sysctl of the host", []string{"run", "--rm", "--network", "host", "--sysctl", "net.ipv4.ip_forward=1", image, "true"}, 125, "net.ipv4.ip_forward"},
		{"device missing", []string{"run", "--rm", "--device", "/dev/nosuchdevice", image, "true"}, 125, "/dev/nosuchdevice"},
		{"ulimit unknown", []string{"run", "--rm", "--ulimit", "nosuch=1", image, "true"}, 125, "nosuch"},
		{"stop signal unknown", []string{"run", "--rm", "--stop-signal", "SIGNOSUCH", image, "true"}, 125, "SIGNOSUCH"},
		{"seccomp profile missing", []string{"run", "--rm", "--security-opt", "seccomp=/no/such.json", image, "true"}, 125, "/no/such.json"},
		{"exec in nobody", []string{"exec", "nobody", "true"}, 1, "nobody"},
		{"inspect nobody", []string{"inspect", "nobody"}, 1, "nobody"},
		{"stop nobody", []string{"stop", "nobody"}, 1, "nobody"},
		{"signal unknown", []string{"kill", "-s", "NOSUCH", taken}, 1, "NOSUCH"},
		{"bad template", []string{"inspect", "--format", "{{.No", taken}, 1, ""},
		{"update below use", []string{"update", "--memory", "1", taken}, 1, "memory"},
		{"manifest missing", []string{"apply", "-f", "/no/such.yaml"}, 1, "/no/such.yaml"},
		{"import missing", []string{"image", "import", "/no/such.tar", "x"}, 1, "/no/such.tar"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			r := h.code(c.code, c.args...)
			oneLine(t, r, c.names)
		})
	}
	h.eventually("nothing is left", func() bool { return h.look().since(before) == "" })
}

// oneLine wants one line on standard error that names something.
func oneLine(t *testing.T, r result, names string) {
	t.Helper()
	text := strings.TrimSuffix(r.err, "\n")
	if text == "" || strings.Contains(text, "\n") {
		t.Errorf("not one line:\n%s", r.err)
	}
	if !strings.Contains(strings.ToLower(text), strings.ToLower(names)) {
		t.Errorf("does not name %s: %s", names, text)
	}
	for _, word := range []string{"failed to", "unable to", "panic:", "goroutine"} {
		if strings.Contains(text, word) {
			t.Errorf("says %q: %s", word, text)
		}
	}
}

// TestBadManifests refuses a manifest with the path of the field.
func TestBadManifests(t *testing.T) {
	h := startOwn(t)
	h.ok("ps")
	before := h.look()
	good := fmt.Sprintf(fooPod, "bad", "")
	for _, c := range []struct{ name, old, new, names string }{
		{"not YAML", "spec:", "spec: [", "line"},
		{"unknown field", "    image:", "    imaeg: x\n    image:", "imaeg"},
		{"unknown kind", "kind: Pod", "kind: Deployment", "Deployment"},
		{"no name", "  name: bad\n", "  labels: {}\n", "metadata.name"},
		{"bad name", "name: bad", "name: Bad_Name", "metadata.name"},
		{"twice the same container", "name: sidecar", "name: app", "app"},
		{"missing image", "carob.local/toolbox", "no.such/image", "no.such/image"},
		{"bad quantity", `"256Mi"`, `"256Mo"`, "256Mo"},
		{"bad port", "containerPort: 80", "containerPort: 99999", "containerPort"},
		{"field that is not honoured", "spec:", "spec:\n  schedulerName: \"\"\n  ephemeralContainers: [{name: a}]", "ephemeralContainers"},
		{"host PID and shared PID", "spec:", "spec:\n  hostPID: true\n  shareProcessNamespace: true", "shareProcessNamespace"},
		{"command not found", `"sleep", "3650d"`, `"no-such-command"`, "no-such-command"},
		{"volume unknown", "    image: carob.local/toolbox\n    command: [\"sleep", "    volumeMounts: [{name: nosuch, mountPath: /x}]\n    image: carob.local/toolbox\n    command: [\"sleep", "nosuch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			r := h.feed(text, "apply", "-f", "-")
			if r.code == 0 {
				t.Fatalf("accepted: %s", r.out)
			}
			oneLine(t, r, c.names)
		})
	}
	h.eventually("nothing is left", func() bool { return h.look().since(before) == "" })
}
