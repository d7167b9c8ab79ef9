package session_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"carob/internal/sys/session"
)

// child asks for a byte after each of two signals, and says by its status that both came.
const child = `trap 'hup=1' HUP; trap 'exit $((6+hup))' TERM; echo ready; while :; do read x && echo "$hup"; done`

// TestRelay: signals to a process that passes them on reach its child, do not end it itself, do
// not interrupt what it waits in, and what is left of it works on.
func TestRelay(t *testing.T) {
	if os.Getenv("CAROB_TEST_RELAY") != "" {
		passOn()
	}
	cmd := exec.Command(os.Args[0], "-test.run", "TestRelay")
	cmd.Env = append(os.Environ(), "CAROB_TEST_RELAY=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	out := bufio.NewReader(pipe)
	for _, want := range []string{"ready\n", "relayed\n"} {
		if line, err := out.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
	send := func(s syscall.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGHUP)
	for seen := "\n"; seen != "1\n"; { // the trap comes between two reads
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		if seen, err = out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGTERM)
	_, _ = io.WriteString(in, "\n") // a shell looks after its read; it may be gone already
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("status %d, want 7: %v", code, cmd.ProcessState)
	}
}

// passOn is the process that passes on, and ends as its child does.
func passOn() {
	cmd := exec.Command("/bin/sh", "-c", child)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		panic(err)
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	out := bufio.NewReader(pipe)
	line, _ := out.ReadString('\n')
	os.Stdout.WriteString(line)
	if err := session.Relay(cmd.Process.Pid); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("relayed\n")
	_, _ = io.Copy(os.Stdout, out)
	_ = cmd.Wait()
	os.Exit(cmd.ProcessState.ExitCode())
}
