package toolbox

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/testenv"
)

// serve starts httpd on the unix socket sock in the directory it returns, its room's /work.
func serve(t *testing.T) (dir string) {
	t.Helper()
	cmd := command(t, "httpd", "-u", "sock")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); !strings.HasPrefix(line, "listening on") {
		t.Fatalf("%q, %v", line, err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("httpd does not end gracefully: %v", err)
		}
	})
	return cmd.Dir
}

// TestHTTPDAnswersBeforeItEnds sends SIGTERM while a request is under way.
func TestHTTPDAnswersBeforeItEnds(t *testing.T) {
	server := command(t, "httpd", "-u", "sock")
	out, _ := server.StdoutPipe()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(out).ReadString('\n')
	client := command(t, "curl", "-s", "-o", "f", "-w", "%{http_code}", "--unix-socket", "sock", "x/delay/1")
	client.Dir = server.Dir
	time.AfterFunc(500*time.Millisecond, func() { server.Process.Signal(syscall.SIGTERM) })
	if got, err := client.Output(); string(got) != "200" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
}

func TestIPC(t *testing.T) {
	script := `
shm read 0x77; echo code $?
shm write 0x77 "hello there"; shm read 0x77; shm write 119 again; shm read 0x77
ipcs -m | grep -c '^119 '
shm rm 0x77; shm read 0x77
mq recv -n /q
mq send /q one; mq send q "two words"; mq recv /q; mq recv q
(sleep 0.2; mq send /q late) & mq recv /q
mq rm /q; mq rm /q
shm write 0 x
`
	want := `shm: segment 0x77: No such file or directory
code 1
hello there
again
1
shm: segment 0x77: No such file or directory
mq: queue /q: No such file or directory
one
two words
late
mq: queue /q: No such file or directory
shm: '0' is no key: want a number other than 0, 0x for hexadecimal
`
	out, err := command(t, "sh", "-c", script).CombinedOutput()
	if string(out) != want || exitCode(err) != 2 {
		t.Errorf("%s(%v)\nwant\n%s", out, err, want)
	}
}

func TestLooking(t *testing.T) {
	for _, test := range []struct{ tool, want string }{
		{"ns", "net:["}, {"caps", "CapEff:"}, {"ps", "COMMAND\n"}, {"id", "uid="}, {"mount", " on /proc type proc"}, {"df", "Mounted on"},
		{"free", "Mem:"}, {"uname", "Linux"}, {"date", "20"}, {"hostname", "\n"}, {"nproc", "\n"}, {"pwd", "/"}, {"printenv", "PATH="}, {"whoami", "\n"},
	} {
		t.Run(test.tool, func(t *testing.T) {
			out, err := command(t, test.tool).CombinedOutput()
			if err != nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%q, %v; want %q in it", out, err, test.want)
			}
		})
	}
}

// TestHold finds the memory held in the process's own account.
func TestHold(t *testing.T) {
	cmd := firstProcess(t, "hold", "16")
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "holding 16 MiB\n" {
		t.Fatalf("%q, %v", line, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "RssAnon: %d kB", &kib)
	}
	if kib < 16<<10 {
		t.Errorf("%d KiB resident", kib)
	}
}

func TestSpin(t *testing.T) {
	cmd := firstProcess(t, "spin", "1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	used := func() (ticks int) { // of 10 ms
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		if f := strings.Fields(string(text)); len(f) > 13 {
			ticks, _ = strconv.Atoi(f[13])
		}
		return ticks
	}
	for end := time.Now().Add(testenv.Patience(20 * time.Second)); used() < 3 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	err := cmd.Wait()
	if exit, ok := err.(*exec.ExitError); !ok || exit.UserTime() < 20*time.Millisecond {
		t.Errorf("%v used %v", err, cmd.ProcessState.UserTime())
	}
}
