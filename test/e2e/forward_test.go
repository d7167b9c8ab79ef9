package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/testenv"
)

// forwarding is a running port-forward.
type forwarding struct {
	h       *host
	cmd     *exec.Cmd
	lines   chan string   // of standard output
	errs    chan string   // of standard error
	local   []string      // addresses it listens on, in the order of its ports
	exited  chan struct{} // closed at its end
	exiting error
}

var forwardingFrom = regexp.MustCompile(`^Forwarding from (\S+) -> \d+$`)

// forward starts a port-forward and waits for its first ports.
func (h *host) forward(ports int, args ...string) *forwarding {
	h.Helper()
	f := &forwarding{h: h, cmd: h.cmd(append([]string{"port-forward", "--address", "127.0.0.1"}, args...)...),
		lines: make(chan string, 100), errs: make(chan string, 1000), exited: make(chan struct{})}
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		h.Fatal(err)
	}
	errs, err := f.cmd.StderrPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := f.cmd.Start(); err != nil {
		h.Fatal(err)
	}
	read := func(r io.Reader, to chan string) chan struct{} {
		done := make(chan struct{})
		go func() {
			for s := bufio.NewScanner(r); s.Scan(); {
				to <- s.Text()
			}
			close(to)
			close(done)
		}()
		return done
	}
	one, two := read(out, f.lines), read(errs, f.errs)
	go func() { <-one; <-two; f.exiting = f.cmd.Wait(); close(f.exited) }()
	h.Cleanup(func() { _ = f.cmd.Process.Signal(syscall.SIGTERM); <-f.exited })
	for range ports {
		line := <-f.lines
		m := forwardingFrom.FindStringSubmatch(line)
		if m == nil {
			h.Fatalf("port-forward says %q, %q", line, <-f.errs)
		}
		f.local = append(f.local, m[1])
	}
	return f
}

func (f *forwarding) get(i int) (string, error) {
	c := http.Client{Timeout: testenv.Patience(10 * time.Second), Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + f.local[i] + "/get")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func (f *forwarding) works(i int) {
	f.h.Helper()
	if got, err := f.get(i); err != nil || !strings.Contains(got, "Host") {
		f.h.Fatalf("%s: %q, %v", f.local[i], got, err)
	}
}

// end waits for the end and returns the exit code and the last line of what was said.
func (f *forwarding) end() (int, string) {
	f.h.Helper()
	select {
	case <-f.exited:
	case <-time.After(testenv.Patience(20 * time.Second)):
		f.h.Fatal("port-forward does not end")
	}
	last := ""
	for line := range f.errs {
		last = line
	}
	return f.cmd.ProcessState.ExitCode(), last
}

// TestPortForward: a pod without any network, servers on both loopbacks; the daemon
// dies and nothing is noticed; a port without a server; the pod's end.
func TestPortForward(t *testing.T) {
	h := startOwn(t)
	pod := h.name("pod")
	h.ok("pod", "create", pod)
	h.Cleanup(func() { h.run("pod", "rm", "-f", pod) })
	for port, address := range map[string]string{"80": "127.0.0.1", "81": "::1"} {
		h.ok("run", "-d", "--name", h.name("c")+port, "--pod", pod, image, "httpd", "-p", port, "-a", address)
	}
	h.ok("run", "--rm", "--pod", pod, image, "sh", "-c", "until nc -z 127.0.0.1 80 && nc -z ::1 81; do sleep 0.05; done")
	f := h.forward(3, pod, ":80", ":81", ":82")
	f.works(0)
	f.works(1)
	idle, err := net.Dial("tcp", f.local[0])
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()

	if _, err := f.get(2); err == nil {
		t.Error("an answer where nobody listens")
	}
	if said := <-f.errs; !strings.Contains(said, f.local[2]+" → 82: pod "+pod+": [::1]:82: connect: connection refused") {
		t.Errorf("of a refused connection it says %q", said)
	}

	if err := syscall.Kill(h.daemon(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Write([]byte("GET /get HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(idle); err != nil || !strings.HasPrefix(string(b), "HTTP/1") {
		t.Errorf("a connection from before the daemon's death: %q, %v", b, err)
	}
	f.works(0)

	h.ok("pod", "stop", "-t", "0", pod)
	if code, said := f.end(); code != 1 || said != "carob: port-forward: pod "+pod+": has ended" {
		t.Errorf("exit %d, %q", code, said)
	}
	if r := h.code(1, "port-forward", pod, "8080:80"); !strings.Contains(r.err, "does not run") {
		t.Errorf("%q", r.err)
	}
}

// TestPortForwardOfContainer: by the name of a container of `run`, until interrupted.
func TestPortForwardOfContainer(t *testing.T) {
	h := start(t)
	name := h.name("c")
	h.ok("run", "-d", "--name", name, image, "httpd")
	h.Cleanup(func() { h.run("rm", "-f", name) })
	h.ok("exec", name, "sh", "-c", "until nc -z localhost 80; do sleep 0.05; done")
	f := h.forward(1, name, ":80")
	f.works(0)
	_ = f.cmd.Process.Signal(syscall.SIGINT)
	if code, said := f.end(); code != 0 || said != "" {
		t.Errorf("exit %d, %q", code, said)
	}
	if r := h.code(1, "port-forward", "no-such-pod", "80"); !strings.Contains(r.err, "no such pod") {
		t.Errorf("%q", r.err)
	}
	for _, bad := range [][]string{{name, "80:x"}, {name, "0"}, {name, "1:2:3"}, {"--address", "example.org", name, ":80"}} {
		h.code(1, append([]string{"port-forward"}, bad...)...)
	}
}
