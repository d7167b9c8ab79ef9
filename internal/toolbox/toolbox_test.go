package toolbox

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// usageOf is the line that follows the message about a tool's wrong arguments.
func usageOf(name string) string {
	t, _ := lookUp(name)
	help, _, _ := strings.Cut(t.Help(), "\n")
	return help + "\n"
}

func TestScripts(t *testing.T) {
	tests := []struct {
		name, script, want string
		code               int
	}{
		{"exit code", "exit 7", "", 7},
		{"last code", "false", "", 1},
		{"not found", "nosuchtool", "sh: nosuchtool: not found\n", 127},
		{"not executable", "echo x >f; ./f", "sh: ./f: Permission denied\n", 126},
		{"directory", "/", "sh: /: Is a directory\n", 126},
		{"syntax", "if", "sh: sh:1:1: `if` must be followed by a statement list\n", 2},
		{"pipeline", "seq 10 | grep 1 | tail -n 1", "10\n", 0},
		{"redirect", "echo a >f; echo b >>f; cat <f", "a\nb\n", 0},
		{"here-document", "cat <<E\n$((1+2))\nE", "3\n", 0},
		{"function", "f() { echo f$1; }; f 1", "f1\n", 0},
		{"last command keeps its arguments", `printf '%s|' "a b" c`, "a b|c|", 0},
		{"implicit exec keeps redirections", "echo out >f\ncat f", "out\n", 0},
		{"implicit exec and function", "cat() { echo mine; }\ncat", "mine\n", 0},
		{"exec", "exec echo x; echo never", "x\n", 0},
		{"exec with redirection", "(exec echo x >f); cat f; exec cat f", "x\nx\n", 0},
		{"exec not found", "exec nosuchtool", "sh: nosuchtool: not found\n", 127},
		{"exec in a subshell", "(exec echo in); echo out", "in\nout\n", 0},
		{"exec in a pipe", "exec echo in | cat; echo out", "in\nout\n", 0},
		{"exec in the background", "exec true & wait; echo out", "out\n", 0},
		{"exported only", "A=1; export B=2; exec env", "", 0},
		{"killed by a signal", "sh -c 'kill -KILL $$'; echo $?", "137\n", 0},
		{"exit trap", "trap 'echo bye' EXIT; echo hi", "hi\nbye\n", 0},
		{"signal trap", "trap 'echo got' TERM; kill -TERM $$; sleep 0.1; echo on", "got\non\n", 0},
		{"ignored signal", "trap '' TERM; kill -TERM $$; sleep 0.1; echo on", "on\n", 0},
		{"bad trap", "trap 'x' NOSUCH; echo $?", "trap: NOSUCH: invalid signal specification\n2\n", 0},
		{"umask", "umask 077; umask; mkdir d; stat -c %a d", "0077\n700\n", 0},
		{"ulimit", "ulimit -n 64; ulimit -n; sh -c 'ulimit -Hn'", "64\n64\n", 0},
		{"ulimit soft", "ulimit -Sn 50; ulimit -Sn; sh -c 'ulimit -n'", "50\n50\n", 0},
		{"bad ulimit", "ulimit -n x", "sh: ulimit: \"x\" is no number\n", 1},
		{"test", "test -d / && [ a = a ] && ! [ 1 -gt 2 ] && echo yes", "yes\n", 0},
		{"test as a program", "env test -f /; echo $?; env [ 1 = 1 ]", "1\n", 0},
		{"printf as a program", `env printf '%s-%03d\n' a 7`, "a-007\n", 0},
		{"echo as a program", "env echo -n a b", "a b", 0},
		{"head", "seq 100 | head -2; seq 3 | head -n 1; echo abc | head -c 2", "1\n2\n1\nab", 0},
		{"tail", "seq 5 | tail -2; seq 5 | tail -n +4", "4\n5\n4\n5\n", 0},
		{"wc", "printf 'a b\\nc\\n' >f; wc f; wc -l <f", "2 3 6 f\n2\n", 0},
		{"sort", "printf '10\\n9\\n9\\n' >f; sort f; sort -n f; sort -nru f", "10\n9\n9\n9\n9\n10\n10\n9\n", 0},
		{"sort by field", "printf 'b:2\\na:10\\n' | sort -t : -k 2n", "b:2\na:10\n", 0},
		{"uniq", "printf 'a\\na\\nb\\n' | uniq -c; printf 'a\\na\\nb\\n' | uniq -d", "      2 a\n      1 b\na\n", 0},
		{"cut", "echo a:b:c | cut -d : -f 1,3; echo abcdef | cut -c 2-4; echo abc | cut -c2-", "a:c\nbcd\nbc\n", 0},
		{"tr", "echo hello | tr a-y b-z; echo aabb | tr -s ab; echo a1b2 | tr -d 0-9; echo aB | tr '[:lower:]' '[:upper:]'", "ifmmp\nab\nab\nAB\n", 0},
		{"grep", "printf 'one\\ntwo\\n' >f; grep -n t f; grep -c . f; grep -v o f; grep -io TW f; grep -q one f", "2:two\n2\ntw\n", 0},
		{"grep finds nothing", "echo a | grep b", "", 1},
		{"seq", "seq 3 -1 1; seq 2 3", "3\n2\n1\n2\n3\n", 0},
		{"tee", "echo x | tee a b; cat a b", "x\nx\nx\n", 0},
		{"yes", "yes a | head -2", "a\na\n", 0},
		{"xargs", "seq 3 | xargs echo n", "n 1 2 3\n", 0},
		{"files", "mkdir -p a/b; touch a/b/c; cp -a a d; mv d/b d/e; ls d/e; rm -rf a; find . -type f -name c; ls", "c\n./d/e/c\nd\n", 0},
		{"links", "echo x >f; ln -s f s; ln f h; readlink s; readlink f; stat -c %h f; ln -sf h s; cat s", "f\n2\nx\n", 0},
		{"chmod", "touch f; chmod 640 f; stat -c '%a %F %s' f", "640 regular empty file 0\n", 0},
		{"dd", "dd if=/dev/zero of=f bs=1k count=3 status=none; wc -c <f; dd if=f bs=1024 skip=2 2>e | wc -c; head -2 e", "3072\n1024\n1+0 records in\n1+0 records out\n", 0},
		{"base64", "echo hi | base64; echo aGkK | base64 -d", "aGkK\nhi\n", 0},
		{"env", "env -u PATH -i B=2 env", "B=2\n", 0},
		{"timeout", "timeout 0.1 sleep 10; echo $?; timeout 5 false; echo $?; timeout 5 nosuch 2>e; echo $?", "124\n1\n127\n", 0},
		{"sleep", "sleep 0; sleep 0.01s; sleep x", "sleep: invalid time interval 'x'\n", 1},
		{"kill", "kill -0 $$; kill -NOSUCH 1; kill x", "kill: bad signal name 'NOSUCH'\n" + "kill: invalid number 'x'\n", 1},
		{"which", "which nosuch; which sh", "/bin/sh\n", 0},
		{"names", "basename /a/b.c .c; dirname /a/b.c", "b\n/a\n", 0},
		{"unknown option", "head -Z", "head: invalid option -- 'Z'\n" + usageOf("head"), 1},
		{"PATH order", "mkdir p; printf '#!/bin/sh\\necho mine\\n' >p/ls; chmod 755 p/ls; PATH=$PWD/p:$PATH; ls", "mine\n", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, "sh", "-c", test.script)
			out, err := cmd.CombinedOutput()
			got := string(out)
			if test.name == "exported only" {
				if strings.Contains(got, "A=1") || !strings.Contains(got, "B=2\n") {
					t.Errorf("environment %q", got)
				}
				return
			}
			if got != test.want || exitCode(err) != test.code {
				t.Errorf("output %q, code %d (%v); want %q, %d", got, exitCode(err), err, test.want, test.code)
			}
		})
	}
}

func TestShellInvocations(t *testing.T) {
	t.Run("name and parameters", func(t *testing.T) {
		out, err := command(t, "sh", "-c", `echo "$0|$1|$#"`, "zero", "a b", "c").CombinedOutput()
		if string(out) != "zero|a b|2\n" || err != nil {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("errexit", func(t *testing.T) {
		out, err := command(t, "sh", "-ec", "false; echo never").CombinedOutput()
		if string(out) != "" || exitCode(err) != 1 {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("script file", func(t *testing.T) {
		cmd := command(t, "sh", "s", "x")
		os.WriteFile(filepath.Join(cmd.Dir, "s"), []byte("echo $1\nexit 4\n"), 0o600)
		out, err := cmd.CombinedOutput()
		if string(out) != "x\n" || exitCode(err) != 4 {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("missing script", func(t *testing.T) {
		out, err := command(t, "sh", "nosuch").CombinedOutput()
		if !strings.Contains(string(out), "No such file") || exitCode(err) != 127 {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("standard input is shared with commands", func(t *testing.T) {
		cmd := command(t, "sh")
		cmd.Stdin = strings.NewReader("echo one\nhead -c 5\nread\necho $((1+1)); if true\nthen echo three; fi\nexit 6\necho never\n")
		out, err := cmd.CombinedOutput()
		if string(out) != "one\nread\n2\nthree\n" || exitCode(err) != 6 {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("a person may mistype", func(t *testing.T) {
		cmd := command(t, "sh", "-i")
		cmd.Stdin = strings.NewReader("echo )\necho on\nfalse\n")
		out, err := cmd.Output()
		if string(out) != "on\n" || exitCode(err) != 1 {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("answers while input stays open", func(t *testing.T) {
		cmd := command(t, "sh")
		in, _ := cmd.StdinPipe()
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(in, "echo hello\n")
		line := make([]byte, 6)
		if _, err := io.ReadFull(out, line); err != nil || string(line) != "hello\n" {
			t.Errorf("%q, %v", line, err)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("becomes its last command", func(t *testing.T) {
		cmd := firstProcess(t, "sh", "-c", "sleep 60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		name := ""
		for range 200 {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
			if name = string(text); name == "sleep\x0060\x00" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if name != "sleep\x0060\x00" {
			t.Errorf("the process is %q", name)
		}
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// TestRootfs checks what the image's tar holds, and that it is reproducible.
func TestRootfs(t *testing.T) {
	one, err := command(t, "carob-toolbox", "--rootfs").Output()
	if err != nil {
		t.Fatal(err)
	}
	two, _ := command(t, "carob-toolbox", "--rootfs").Output()
	if !bytes.Equal(one, two) {
		t.Error("two runs differ")
	}
	found := map[string]*tar.Header{}
	var passwd string
	for r := tar.NewReader(bytes.NewReader(one)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if found[h.Name] = h; h.Name == "etc/passwd" {
			text, _ := io.ReadAll(r)
			passwd = string(text)
		}
	}
	for _, want := range []struct {
		name string
		mode int64
	}{{"tmp/", 0o1777}, {"root/", 0o700}, {"proc/", 0o555}, {"sys/", 0o555}, {"dev/", 0o755}, {"etc/group", 0o644}, {"bin/carob-toolbox", 0o755}, {"bin/true", 0o755}} {
		if h := found[want.name]; h == nil || h.Mode != want.mode {
			t.Errorf("%s: %+v", want.name, h)
		}
	}
	for _, name := range []string{"sh", "ls", "cat", "[", "httpd", "curl", "ipcs", "shm", "mq", "hold", "spin", "ns", "caps", "ps", "sleep"} {
		if h := found["bin/"+name]; h == nil || h.Linkname != "carob-toolbox" {
			t.Errorf("bin/%s: %+v", name, h)
		}
	}
	for _, want := range []string{"root:x:0:0:", "nobody:x:65534:65534:", "app:x:1000:1000:"} {
		if !strings.Contains(passwd, want) {
			t.Errorf("no %q in /etc/passwd", want)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	all := links()
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("a name is there twice: %v", all)
	}
}

func BenchmarkStart(b *testing.B) {
	for _, name := range []string{"true", "nproc"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := command(b, name).Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
