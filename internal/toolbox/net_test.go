package toolbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
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

func TestHTTP(t *testing.T) {
	dir := serve(t)
	client := func(t *testing.T, args ...string) *exec.Cmd {
		cmd := command(t, "curl", append([]string{"--unix-socket", "sock"}, args...)...)
		cmd.Dir = dir // the server's room and the client's share their /work
		return cmd
	}
	tests := []struct {
		name string
		args []string
		want string
		code int
	}{
		{"index", []string{"x/"}, "carob toolbox httpd: /get /headers /ip /status/N /delay/N /bytes/N\n", 0},
		{"status", []string{"-o", "f", "-w", `%{http_code}\n`, "x/status/418"}, "418\n", 0},
		{"fail", []string{"-fsS", "x/status/503"}, "curl: (22) The requested URL returned error: 503\n", 22},
		{"fail silently", []string{"-fs", "x/status/404"}, "", 22},
		{"no fail", []string{"-s", "x/status/404"}, "", 0},
		{"bad status", []string{"-s", "x/status/abc"}, "want a status from 200 to 599\n", 0},
		{"not found", []string{"-s", "-o", "f", "-w", "%{http_code}", "x/nosuch"}, "404", 0},
		{"no redirect", []string{"-s", "-o", "f", "-w", "%{http_code}", "x/status/302"}, "302", 0},
		{"redirect", []string{"-sL", "-o", "f", "-w", "%{http_code}", "x/status/302"}, "200", 0},
		{"bytes", []string{"-s", "-o", "f", "-w", "%{size_download}", "x/bytes/1000"}, "1000", 0},
		{"too many bytes", []string{"-s", "-o", "f", "-w", "%{size_download}", "x/bytes/99999999"}, "102400", 0},
		{"delay", []string{"-s", "-o", "f", "-w", "%{http_code}", "x/delay/0.05"}, "200", 0},
		{"head", []string{"-sI", "-o", "f", "-w", "%{http_code} %{content_type}", "x/ip"}, "200 application/json", 0},
		{"method", []string{"-s", "-X", "DELETE", "-o", "f", "-w", "%{http_code}", "x/status/202"}, "202", 0},
		{"wrong method", []string{"-s", "-X", "DELETE", "-o", "f", "-w", "%{http_code}", "x/get"}, "405", 0},
		{"bad URL", []string{"ftp://x/"}, "curl: (1) Protocol \"ftp\" not supported\n", 1},
		{"unknown option", []string{"--nosuch", "x"}, "curl: option --nosuch: is unknown\n" + usageOf("curl"), 2},
		{"no URL", nil, "curl: (2) no URL specified\n" + usageOf("curl"), 2},
		{"cannot write", []string{"-s", "-o", "/nosuch/f", "x/"}, "", 23},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, err := client(t, test.args...).CombinedOutput()
			if string(out) != test.want || exitCode(err) != test.code {
				t.Errorf("%q, code %d; want %q, %d", out, exitCode(err), test.want, test.code)
			}
		})
	}
	t.Run("too slow", func(t *testing.T) {
		out, err := client(t, "-sS", "-m", "0.2", "x/delay/5").CombinedOutput()
		if ok, _ := regexp.Match(`^curl: \(28\) Operation timed out after 2\d\d milliseconds with 0 bytes received\n$`, out); !ok || exitCode(err) != 28 {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		out, err := command(t, "curl", "-sS", "127.0.0.1:9").CombinedOutput() // its room has no other process
		if exitCode(err) != 7 || !strings.HasPrefix(string(out), "curl: (7) Failed to connect to 127.0.0.1 port 9 after ") {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("unknown host", func(t *testing.T) {
		out, err := command(t, "curl", "-sS", "-m", "5", "nosuch.invalid").CombinedOutput()
		if code := exitCode(err); code != 6 && code != 28 { // a resolver that does not answer is a time-out
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		var got struct {
			Args    map[string]any
			Headers map[string]string
			Origin  string
			URL     string
		}
		out, err := client(t, "-s", "-H", "X-One: 1", "-H", "Host: demo", "http://x/get?a=1&b=2&b=3").Output()
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		if err != nil || got.Headers["X-One"] != "1" || got.Headers["Host"] != "demo" || got.Args["a"] != "1" || fmt.Sprint(got.Args["b"]) != "[2 3]" || got.URL != "http://demo/get?a=1&b=2&b=3" {
			t.Errorf("%s %+v, %v", out, got, err)
		}
	})
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
	time.Sleep(testenv.Patience(300 * time.Millisecond))
	cmd.Process.Signal(syscall.SIGTERM)
	err := cmd.Wait()
	if exit, ok := err.(*exec.ExitError); !ok || exit.UserTime() < 20*time.Millisecond {
		t.Errorf("%v used %v", err, cmd.ProcessState.UserTime())
	}
}
