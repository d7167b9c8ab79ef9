package toolbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// client is curl in a room that shares its /work with a server's.
func client(t *testing.T, dir string, args ...string) *exec.Cmd {
	cmd := command(t, "curl", append([]string{"--unix-socket", "sock"}, args...)...)
	cmd.Dir = dir
	return cmd
}

func TestHTTPD(t *testing.T) {
	dir := serve(t)
	for _, test := range []struct {
		name, path string
		args       []string
		want       string // status and, after a blank, a part of the body
	}{
		{"index", "/", nil, "200 carob toolbox httpd: /get /headers /ip /status/N /delay/N /bytes/N\n"},
		{"status", "/status/418", nil, "418 "},
		{"status of any method", "/status/202", []string{"-X", "DELETE"}, "202 "},
		{"status that is no number", "/status/abc", nil, "400 want a status from 200 to 599\n"},
		{"status out of range", "/status/99", nil, "400 want a status"},
		{"status above", "/status/600", nil, "400 want a status"},
		{"negative status", "/status/-1", nil, "400 want a status"},
		{"unknown path", "/nosuch", nil, "404 404 page not found\n"},
		{"below a path", "/get/x", nil, "404 "},
		{"above the root", "/../../etc/passwd", nil, `307 <a href="/etc/passwd">`}, // which is a path like any other
		{"wrong method", "/get", []string{"-X", "DELETE"}, "405 Method Not Allowed\n"},
		{"head", "/ip", []string{"-I"}, "200 HTTP/1.1 200 OK\r\nContent-Length: "},
		{"delay", "/delay/0.05", nil, `200 {`},
		{"negative delay", "/delay/-1", nil, "400 want a number of seconds\n"},
		{"delay that is no number", "/delay/x", nil, "400 want a number of seconds\n"},
		{"delay NaN", "/delay/NaN", nil, "400 want a number of seconds\n"},
		{"bytes that are no number", "/bytes/x", nil, "400 want a number of bytes\n"},
		{"negative bytes", "/bytes/-5", nil, "400 want a number of bytes\n"},
		{"bytes beyond a number", "/bytes/99999999999999999999", nil, "400 want a number of bytes\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-s", "-w", " %{http_code}", "x" + test.path}, test.args...)
			out, err := client(t, dir, args...).Output()
			text := string(out)
			got := text[max(0, len(text)-3):] + " " + strings.TrimSuffix(text, text[max(0, len(text)-4):])
			if err != nil || !strings.HasPrefix(got, test.want) {
				t.Errorf("%q, %v; want %q", got, err, test.want)
			}
		})
	}
	t.Run("bytes are limited and can be had again", func(t *testing.T) {
		t.Parallel()
		var bodies [2]string
		for i := range bodies {
			out, err := client(t, dir, "-s", "x/bytes/99999999?seed=7").Output()
			if bodies[i] = string(out); err != nil || len(out) != 100<<10 {
				t.Errorf("%d bytes, %v", len(out), err)
			}
		}
		if bodies[0] != bodies[1] {
			t.Error("the same seed gave other bytes")
		}
	})
	t.Run("delay is limited", func(t *testing.T) {
		t.Parallel()
		begun := time.Now()
		out, err := client(t, dir, "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "60", "x/delay/1e300").Output()
		if string(out) != "200" || err != nil || time.Since(begun) < 9*time.Second {
			t.Errorf("%q, %v after %v; httpbin's limit is 10 s", out, err, time.Since(begun))
		}
	})
	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		var got struct {
			Args    map[string]any
			Headers map[string]string
			Origin  string
			URL     string
		}
		out, err := client(t, dir, "-s", "-H", "X-One: 1", "-H", "Host: demo", "http://x/get?a=1&b=2&b=3").Output()
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		if err != nil || got.Headers["X-One"] != "1" || got.Headers["Host"] != "demo" || got.Args["a"] != "1" || fmt.Sprint(got.Args["b"]) != "[2 3]" || got.URL != "http://demo/get?a=1&b=2&b=3" {
			t.Errorf("%s %+v, %v", out, got, err)
		}
	})
}

// TestHTTPDArguments gives httpd what it cannot do: one line, and a code.
func TestHTTPDArguments(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"port in use", "httpd -q -p 8080 & sleep 0.3; httpd -p 8080; echo $?", "listening on [::]:8080\nhttpd: cannot listen on :8080: Address already in use\n1\n"},
		{"no port", "httpd -p x; echo $?", "httpd: invalid port 'x': want a number up to 65535\n2\n"},
		{"port too high", "httpd -p 65536; echo $?", "httpd: invalid port '65536': want a number up to 65535\n2\n"},
		{"address not ours", "httpd -a 192.0.2.1 -p 80; echo $?", "httpd: cannot listen on 192.0.2.1:80: Cannot assign requested address\n1\n"},
		{"no address", "httpd -a nosuch; echo $?", "httpd: invalid address 'nosuch' for port 80: want an IP address\n2\n"},
		{"operand", "httpd 80; echo $?", "httpd: extra operand '80'\n" + usageOf("httpd") + "2\n"},
		{"no directory", "httpd -u nosuch/s; echo $?", "httpd: cannot listen on nosuch/s: No such file or directory\n1\n"},
		{"socket in use", "httpd -q -u s & sleep 0.3; httpd -u s; echo $?", "listening on s\nhttpd: cannot listen on s: Address already in use\n1\n"},
		{"socket left behind", "httpd -q -u s & sleep 0.3; pkill -KILL httpd; sleep 0.1; httpd -q -u s & sleep 0.3; curl -s -o o -w '%{http_code}\n' --unix-socket s x/", "listening on s\nlistening on s\n200\n"},
		{"a file is no socket", "echo x >s; httpd -u s; echo $?; cat s", "httpd: cannot listen on s: Address already in use\n1\nx\n"},
		{"loopback", "httpd -q -a 127.0.0.1 -p 80 & sleep 0.3; curl -s 127.0.0.1/ip; netstat -tln | grep -c '127.0.0.1:80 .*LISTEN'; wget -qO- 127.0.0.1/status/200; echo $?; wget -q 127.0.0.1/status/500; echo $?; wget -q 127.0.0.1/bytes/10; wc -c <10", "listening on 127.0.0.1:80\n{\n  \"origin\": \"127.0.0.1\"\n}\n1\n0\n8\n10\n"},
		{"log", "httpd -u s >log & sleep 0.3; curl -s --unix-socket s 'x/status/204?a=%1b[31m'; sleep 0.1; sed 1d log", "@ GET \"/status/204?a=%1b[31m\" 204\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, "sh", "-c", test.script+"\npkill httpd; true")
			out, err := cmd.CombinedOutput()
			if string(out) != test.want || err != nil {
				t.Errorf("%q, %v; want %q", out, err, test.want)
			}
		})
	}
}

func TestCurl(t *testing.T) {
	dir := serve(t)
	os.WriteFile(filepath.Join(dir, "form"), []byte("a=1\r\nb=2\n"), 0o600)
	os.Mkdir(filepath.Join(dir, "d"), 0o700)
	for _, test := range []struct {
		name string
		args []string
		want string // both outputs: a pattern
		code int
	}{
		{"body", []string{"-s", "x/ip"}, `\{\n  "origin": ".*"\n\}\n`, 0},
		{"fail", []string{"-fsS", "x/status/503"}, `curl: \(22\) The requested URL returned error: 503\n`, 22},
		{"fail silently", []string{"-fs", "x/status/404"}, ``, 22},
		{"fail aloud", []string{"-f", "x/status/404"}, `curl: \(22\) The requested URL returned error: 404\n`, 22},
		{"no fail", []string{"-s", "x/status/404"}, ``, 0},
		{"fail not", []string{"-fs", "x/status/302"}, ``, 0},
		{"write out", []string{"-so", "f1", "-w", `%{http_code} %{size_download} %{content_type} %{num_redirects}%%\n`, "x/bytes/1000"}, `200 1000 application/octet-stream 0%\n`, 0},
		{"write out of a failure", []string{"-s", "-w", "%{http_code}", "--unix-socket", "nosuch", "x/"}, `000`, 7},
		{"no redirect", []string{"-s", "-o", "f2", "-w", "%{http_code} %{redirect_url}", "x/status/302"}, `302 http://x/get`, 0},
		{"redirect", []string{"-sL", "-o", "f3", "-w", "%{http_code} %{url_effective} %{num_redirects}", "x/status/302"}, `200 http://x/get 1`, 0},
		{"include", []string{"-si", "x/status/204"}, `HTTP/1.1 204 No Content\r\nDate: .*\r\n\r\n`, 0},
		{"head", []string{"-I", "x/status/204"}, `HTTP/1.1 204 No Content\r\nDate: .*\r\n\r\n`, 0},
		{"verbose", []string{"-sv", "x/status/204"}, `\*   Trying sock\.\.\.\n\* Connected to x \(.*\)\n(> .*\n)*> Host: x\n(> .*\n)*>\n< HTTP/1.1 204 No Content\n< Date: .*\n<\n`, 0},
		{"data", []string{"-s", "-d", "a=1", "-d", "b=2", "-v", "x/status/200"}, `(.*\n)*> POST /status/200 HTTP/1.1\n(> .*\n)*> Content-Length: 7\n(.*\n)*`, 0},
		{"data from a file", []string{"-s", "-d", "@form", "-v", "x/status/200"}, `(.*\n)*> Content-Length: 6\n(.*\n)*`, 0},
		{"binary data", []string{"-s", "--data-binary", "@form", "-v", "x/status/200"}, `(.*\n)*> Content-Length: 9\n(.*\n)*`, 0},
		{"method", []string{"-s", "-X", "PUT", "-v", "x/status/200"}, `(.*\n)*> PUT /status/200 HTTP/1.1\n(.*\n)*`, 0},
		{"header", []string{"-s", "-H", "X-A: b: c", "-H", "Accept:", "-H", "X-Empty;", "x/headers"}, `\{\n  "headers": \{\n    "Host": "x",\n    "User-Agent": "curl/8 \(carob toolbox\)",\n    "X-A": "b: c",\n    "X-Empty": ""\n  \}\n\}\n`, 0},
		{"user", []string{"-s", "-u", "a:b", "-A", "me", "x/headers"}, `(.*\n)*    "Authorization": "Basic YTpi",\n(.*\n)*    "User-Agent": "me"\n(.*\n)*`, 0},
		{"letters together", []string{"-sSfLo/dev/null", "-w%{http_code}", "x/get"}, `200`, 0},
		{"remote name", []string{"-sO", "x/ip", "-w", "%{http_code}"}, `200`, 0},
		{"no remote name", []string{"-sSO", "x/"}, `curl: \(23\) Remote filename has no length\n`, 23},
		{"two URLs", []string{"-s", "-o", "/dev/null", "-w", "%{http_code} ", "x/get", "x/status/404"}, `200 404 `, 0},
		{"too slow", []string{"-sS", "-m", "0.2", "x/delay/5"}, `curl: \(28\) Operation timed out after 2\d\d milliseconds with 0 bytes received\n`, 28},
		{"protocol", []string{"-sS", "ftp://x/"}, `curl: \(1\) Protocol "ftp" not supported\n`, 1},
		{"no host", []string{"-sS", "http:///x"}, `curl: \(3\) URL rejected: No host part in the URL\n`, 3},
		{"bad port", []string{"-sS", "x:99999/"}, `curl: \(3\) URL rejected: Port number was not a decimal number between 0 and 65535\n`, 3},
		{"port of letters", []string{"-sS", "http://x:ab/"}, `curl: \(3\) URL rejected: .*\n`, 3},
		{"blank in a host", []string{"-sS", "http://a b/"}, `curl: \(3\) URL rejected: .*\n`, 3},
		{"terminal escape in a host", []string{"-sS", "http://a\x1b[31m/"}, `curl: \(3\) URL rejected: [^\x1b]*\n`, 3},
		{"no such socket", []string{"-sS", "--unix-socket", "nosuch", "x/"}, `curl: \(7\) Failed to connect to nosuch after \d+ ms: No such file or directory\n`, 7},
		{"cannot write", []string{"-sS", "-o", "/nosuch/f", "x/"}, `curl: \(23\) Failed to open the file /nosuch/f: No such file or directory\n`, 23},
		{"device full", []string{"-sS", "-o", "/dev/full", "x/"}, `curl: \(23\) Failure writing output to destination: No space left on device\n`, 23},
		{"cannot read", []string{"-sS", "-d", "@nosuch", "x/"}, `curl: \(26\) Failed to open nosuch\n`, 26},
		{"unknown option", []string{"--nosuch", "x"}, `curl: option --nosuch: is unknown\nusage: curl .*\n`, 2},
		{"unknown letter", []string{"-sQ", "x"}, `curl: option -sQ: is unknown\nusage: curl .*\n`, 2},
		{"no value", []string{"x", "-o"}, `curl: option -o: requires parameter\nusage: curl .*\n`, 2},
		{"bad time", []string{"-m", "x", "x"}, `curl: option: expected a proper number of seconds, not 'x'\nusage: curl .*\n`, 2},
		{"no URL", nil, `curl: \(2\) no URL specified\nusage: curl .*\n`, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, err := client(t, dir, test.args...).CombinedOutput()
			if !regexp.MustCompile(`^(?:`+test.want+`)$`).Match(out) || exitCode(err) != test.code {
				t.Errorf("%q, code %d; want %q, %d", out, exitCode(err), test.want, test.code)
			}
		})
	}
}

// TestCurlConnections needs no server, or a bad one.
func TestCurlConnections(t *testing.T) {
	for _, test := range []struct {
		name, script, want string
		code               int
	}{
		{"refused", "curl -sS 127.0.0.1:9", `curl: \(7\) Failed to connect to 127.0.0.1 port 9 after \d+ ms: Connection refused\n`, 7},
		{"refused quietly", "curl -s 127.0.0.1:9", ``, 7},
		{"unreachable", "curl -sS 192.0.2.1", `curl: \(7\) Failed to connect to 192.0.2.1 port 80 after \d+ ms: Network is unreachable\n`, 7},
		{"unknown host", "curl -sS nosuch.invalid", `curl: \(6\) Could not resolve host: nosuch.invalid\n`, 6},
		{"empty reply", "nc -l 81 </dev/null >/dev/null & sleep 0.3; curl -sS 127.0.0.1:81 & sleep 0.3; pkill nc; wait; curl -sS 127.0.0.1:81", `curl: \((52|56)\) .*\ncurl: \(7\) .*\n`, 7},
		{"not HTTP", "echo hello | nc -l 82 >/dev/null & sleep 0.3; curl -sS -m 2 127.0.0.1:82", `curl: \(56\) .*\n`, 56},
		{"cut short", "(sleep 0.6; printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nabc') | nc -l 83 >/dev/null & sleep 0.3; curl -sS 127.0.0.1:83 & sleep 0.8; pkill nc; wait; echo", `abccurl: \(18\) end of response with 7 bytes missing\n\n`, 0},
		{"not TLS", "httpd -q -p 84 >/dev/null & sleep 0.3; curl -sS https://127.0.0.1:84; code=$?; pkill httpd; exit $code", `curl: \(35\) .*\n`, 35},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out, err := command(t, "sh", "-c", test.script).CombinedOutput()
			if !regexp.MustCompile(`^(?:`+test.want+`)$`).Match(out) || exitCode(err) != test.code {
				t.Errorf("%q, code %d; want %q, %d", out, exitCode(err), test.want, test.code)
			}
		})
	}
}
