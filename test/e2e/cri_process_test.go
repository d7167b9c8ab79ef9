package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// TestCRIExecSync: output, exit code, and one deadline for all that was started.
func TestCRIExecSync(t *testing.T) {
	k := start(t).kubelet()
	_, id := k.running(nil, nil)
	r, err := k.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}})
	if err != nil || string(r.GetStdout()) != "out\n" || string(r.GetStderr()) != "err\n" || r.GetExitCode() != 3 {
		t.Errorf("%v, %v", r, err)
	}
	began := time.Now()
	_, err = k.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "sleep 1001 & sleep 1002"}, Timeout: 1})
	wantCode(t, err, codes.DeadlineExceeded, "a command that does not end")
	// A child that keeps the output open does not keep the call.
	if _, err := k.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "sleep 1004 & true"}, Timeout: 30}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > testenv.Patience(10*time.Second) {
		t.Errorf("one second took %v", took)
	}
	short, cancel := context.WithTimeout(k.ctx, time.Second)
	defer cancel()
	_, err = k.ExecSync(short, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "1003"}})
	wantCode(t, err, codes.DeadlineExceeded, "the caller's own deadline")
	k.eventually("nothing that was started is left", func() bool { return !anyOf(k.exec(id, "ps"), "sleep 1001", "sleep 1002", "sleep 1003") })
	_, err = k.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"/no/such"}})
	if err == nil {
		t.Error("a missing command was executed")
	}
}

func anyOf(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// TestCRIExecSyncOutput: 16 MiB are kept of what is more, and the command goes on.
func TestCRIExecSyncOutput(t *testing.T) {
	k := start(t).kubelet()
	_, id := k.running(nil, nil)
	r, err := k.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sh", "-c", "echo err >&2; dd if=/dev/zero bs=1048576 count=20 2>/dev/null; exit 5"}, Timeout: 60})
	if err != nil || len(r.GetStdout()) < 16<<20-4096 || r.GetExitCode() != 5 {
		t.Errorf("%d bytes, exit %d, %v", len(r.GetStdout()), r.GetExitCode(), err)
	}
}

// TestCRIReopenLog: a log that was rotated goes on in the new file.
func TestCRIReopenLog(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	id := k.create(k.ask(k.runPod(s), s, "while :; do echo tick; sleep 0.05; done"))
	k.start(id)
	path := k.status(id).GetLogPath()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.ReopenContainerLog(k.ctx, &cri.ReopenContainerLogRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	k.eventually("the new file grows", func() bool {
		b, _ := os.ReadFile(path)
		return strings.Contains(string(b), "tick")
	})
	if _, err := k.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	_, err := k.ReopenContainerLog(k.ctx, &cri.ReopenContainerLogRequest{ContainerId: id})
	wantCode(t, err, codes.FailedPrecondition, "reopen of one that has ended")
}

// dial opens a streaming URL as a WebSocket with binary channels.
func (k *kubelet) dial(url, protocol string) *websocket.Conn {
	k.Helper()
	c, err := websocket.NewConfig(strings.Replace(url, "http://", "ws://", 1), "http://localhost")
	if err != nil {
		k.Fatal(err)
	}
	c.Protocol = []string{protocol}
	conn, err := websocket.DialConfig(c)
	if err != nil {
		k.Fatalf("%s: %v", url, err)
	}
	k.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testenv.Patience(20 * time.Second))); err != nil {
		k.Fatal(err)
	}
	return conn
}

// channels collects what comes on each channel until enough says so or it ends.
func channels(c *websocket.Conn, enough func(got map[byte]string) bool) map[byte]string {
	got := map[byte]string{}
	for !enough(got) {
		var frame []byte
		if websocket.Message.Receive(c, &frame) != nil {
			break
		}
		if len(frame) > 0 {
			got[frame[0]] += string(frame[1:])
		}
	}
	return got
}

const (
	inChannel, outChannel, errChannel, endChannel = 0, 1, 2, 3
	execProtocol                                  = "v4.channel.k8s.io"
)

func end(got map[byte]string) bool { return got[endChannel] != "" }

// TestCRIExecStream: input, both outputs and the exit code.
func TestCRIExecStream(t *testing.T) {
	k := start(t).kubelet()
	_, id := k.running(nil, nil)
	r, err := k.Exec(k.ctx, &cri.ExecRequest{ContainerId: id, Cmd: []string{"sh", "-c", "read line; echo got $line; echo err >&2; exit 7"}, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	c := k.dial(r.GetUrl(), execProtocol)
	if err := websocket.Message.Send(c, append([]byte{inChannel}, "word\n"...)); err != nil {
		t.Fatal(err)
	}
	got := channels(c, end)
	if got[outChannel] != "got word\n" || got[errChannel] != "err\n" || !strings.Contains(got[endChannel], `"7"`) {
		t.Errorf("%q", got)
	}
	if c, err := websocket.Dial(strings.Replace(r.GetUrl(), "http://", "ws://", 1), execProtocol, "http://localhost"); err == nil {
		c.Close()
		t.Error("a URL was good twice")
	}
	_, err = k.Exec(k.ctx, &cri.ExecRequest{ContainerId: strings.Repeat("0", 64), Cmd: []string{"true"}, Stdout: true})
	wantCode(t, err, codes.NotFound, "exec in nobody")
}

// TestCRIAttach: a terminal of the container's own, with its size.
func TestCRIAttach(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	r := k.ask(k.runPod(s), s, "while read line; do echo got $line; done")
	r.Config.Stdin = true
	id := k.create(r)
	k.start(id)
	a, err := k.Attach(k.ctx, &cri.AttachRequest{ContainerId: id, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	c := k.dial(a.GetUrl(), execProtocol)
	if err := websocket.Message.Send(c, append([]byte{inChannel}, "word\n"...)); err != nil {
		t.Fatal(err)
	}
	got := channels(c, func(got map[byte]string) bool { return strings.HasSuffix(got[outChannel], "\n") })
	if got[outChannel] != "got word\n" {
		t.Errorf("%q", got)
	}
	if _, err := k.StopContainer(k.ctx, &cri.StopContainerRequest{ContainerId: id}); err != nil {
		t.Fatal(err)
	}
	if got := channels(c, end); !strings.Contains(got[endChannel], "Success") {
		t.Errorf("at the container's end: %q", got)
	}
}

// TestCRIPortForward: a connection to the loopback of the pod.
func TestCRIPortForward(t *testing.T) {
	k := start(t).kubelet()
	pod, id := k.running(nil, func(c *cri.ContainerConfig) {
		c.Command = []string{"sh", "-c", "exec httpd -a 127.0.0.1 -p 8080"}
	})
	k.eventually("the server listens", func() bool {
		r, err := k.ExecSync(k.ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"curl", "-sf", "http://127.0.0.1:8080/get"}, Timeout: 5})
		return err == nil && r.GetExitCode() == 0
	})
	r, err := k.PortForward(k.ctx, &cri.PortForwardRequest{PodSandboxId: pod, Port: []int32{8080}})
	if err != nil {
		t.Fatal(err)
	}
	c := k.dial(r.GetUrl(), execProtocol)
	got := channels(c, func(got map[byte]string) bool { return len(got) == 2 }) // each channel begins with its port
	if port := binary.LittleEndian.Uint16([]byte(got[0])); port != 8080 {
		t.Fatalf("%q", got)
	}
	if err := websocket.Message.Send(c, append([]byte{0}, "GET /get HTTP/1.0\r\n\r\n"...)); err != nil {
		t.Fatal(err)
	}
	got = channels(c, func(got map[byte]string) bool { return strings.Contains(got[0], "\r\n\r\n") })
	if !bytes.Contains([]byte(got[0]), []byte("200 OK")) {
		t.Errorf("%q", got)
	}
}
