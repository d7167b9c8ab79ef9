package toolbox

import (
	"os"
	"regexp"
	"testing"
)

// TestTools are lines whose output coreutils word differently, or do not have. want is a
// pattern.
func TestTools(t *testing.T) {
	for _, test := range []struct {
		name, script, want string
		code               int
	}{
		{"mv to another file system", "mkdir d; echo x >d/f; ln -s f d/l; chmod 640 d/f; touch -d @86400 d/f; mv d /tmp/e; ls; cat /tmp/e/f; readlink /tmp/e/l; stat -c '%a %Y' /tmp/e/f", `x\nf\n640 86400\n`, 0},
		{"mv of what cannot go", "mv /bin/ls /tmp/x; echo $?", `mv: cannot remove '/bin/ls': Read-only file system\n1\n`, 0},
		{"rm -f tells of what it cannot", "rm -f /bin/ls; echo $?; rm -rf /bin", `rm: cannot remove '/bin/ls': Read-only file system\n1\n(rm: .*Read-only file system\n)+`, 1},
		{"rm of everything", "rm -rf /; echo $?; rm -rf / .. ; echo $?; ls /bin/ls", `rm: it is dangerous to operate recursively on '/'\n1\nrm: it is dangerous .*\nrm: refusing to remove '\.' or '\.\.' directory: skipping '\.\.'\n1\n/bin/ls\n`, 0},
		{"rm asks", "touch a b; printf 'y\\nn\\n' | rm -i a b; echo; ls", `rm: remove 'a'\? rm: remove 'b'\? \nb\n`, 0},
		{"kill of nobody", "kill 999999; echo $?", `kill: can't kill pid 999999: No such process\n1\n`, 0},
		{"kill without arguments", "kill; echo $?", `usage: kill .*\n1\n`, 0},
		{"pgrep and pkill", "sleep 77 & sleep 78 & sleep 0.2; pgrep -f '^sleep 7[78]' | wc -l; pkill -f '^sleep 77'; sleep 0.1; pgrep -lx sleep; pkill -KILL sleep; wait; pgrep sleep; echo $?", `2\n\d+ sleep\n1\n`, 0},
		{"killall", "sleep 77 & sleep 0.2; killall -INT sleep; wait $!; echo $?; killall sleep; echo $?", `130\nkillall: sleep: no process killed\n1\n`, 0},
		{"ps", "ps -ef; ps aux; ps -Z", `(?s) *PID +PPID USER .* 1 .*usage: ps .*`, 1},
		{"ps shows names that are safe", "httpd -q -u \"s$(printf '\\033')x\" >/dev/null & sleep 0.3; ps >p; grep -c 'httpd -q -u s[?]x$' p", `1\n`, 0},
		{"caps and ns of nobody", "caps 999999; echo $?; ns x; echo $?", `caps: 999999: No such process\n1\nns: invalid process id 'x'\n1\n`, 0},
		{"stat", "printf abc >f; chmod 600 f; stat f", `  File: f\n  Size: 3\tBlocks: \d+\tregular file\n(?s).*Access: \(600/-rw-------\).*`, 0},
		{"ls -l", "printf abc >f; chmod 640 f; touch -d 2001-02-03 f; ln -s f l; ls -l f; ls -l l | sed 's/.* l/l/'; ls -lh f", `-rw-r----- 1 root root 3 Feb  3  2001 f\nl -> f\n-rw-r----- 1 root root 3 Feb  3  2001 f\n`, 0},
		{"ls of a device", "ls -l /dev/null", `crw-rw-rw- 1 \w+ +\w+ +1,   3 \w+ [ \d]\d +[\d:]+ /dev/null\n`, 0},
		{"du", "mkdir d; dd if=/dev/zero of=d/f bs=1k count=64 status=none; ln d/f d/g; du -s d | cut -f 2; du -a d | wc -l; du -sh nosuch", `d\n2\ndu: cannot access 'nosuch': No such file or directory\n`, 1},
		{"df", "df -h /tmp; df nosuch; echo $?; df -T /tmp | tail -n 1", `Filesystem +Size +Used +Available +Use% Mounted on\ntmpfs .* /tmp\ndf: nosuch: No such file or directory\n1\ntmpfs +tmpfs .*/tmp\n`, 0},
		{"mount and umount", "mkdir m; mount -t tmpfs -o size=1m,ro t m; echo x >m/f; mount -t tmpfs | grep -c ' /work/m .*ro'; umount m; umount m; echo $?; mount -t nosuchfs x m; echo $?", `sh: cannot create .*: Read-only file system\n1\numount: can't unmount m: Invalid argument\n32\nmount: mounting x on m failed: No such device\n32\n`, 0},
		{"id of others", "id app; id -un 1000; id -G nobody; id nosuch", `uid=1000\(app\) gid=1000\(app\) groups=1000\(app\)\napp\n65534\nid: 'nosuch': no such user\n`, 1},
		{"ip", "ip addr; ip route; ip link | head -1; ip nosuch", `1: lo: <UP,.*LOOPBACK.*> mtu \d+\n    inet 127.0.0.1/8\n(    inet6 ::1/128\n)?1: lo: .*\nip: unknown object 'nosuch'\nusage: ip .*\n`, 1},
		{"nc", "nc -l 99 >got & sleep 0.2; echo hello | nc -w 2 127.0.0.1 99; wait; cat got; nc -z 127.0.0.1 98; echo $?; nc 127.0.0.1; echo $?", `hello\nnc: 127.0.0.1:98: Connection refused\n1\nusage: nc .*\n1\n`, 0},
		{"nslookup", "nslookup nosuch.invalid", `nslookup: can't find nosuch.invalid: .*\n`, 1},
		{"hostname", "hostname; hostname other; hostname; hostname a b", `room\nother\nhostname: extra operand 'b'\nusage: .*\n`, 1},
		{"redirections", "cat <nosuch; echo $?; echo x >/bin/x; echo $?", `sh: cannot open .*nosuch: No such file or directory\n1\nsh: cannot create /bin/x: Read-only file system\n1\n`, 0},
		{"free and uptime", "free -m | head -1; free | grep -c '^Mem: *[0-9]'; uptime | grep -c 'load average: [0-9]'", ` +total +used +free +available\n1\n1\n`, 0},
		{"sed in place keeps the mode", "echo a >f; chmod 604 f; sed -i s/a/b/ f; cat f; stat -c %a f; sed -i s/a/b/ nosuch; echo $?; ls", `b\n604\nsed: can't read nosuch: No such file or directory\n4\nf\n`, 0},
		{"sed quits with a code", "printf '1\\n2\\n' | sed '1q7'; echo $?; printf '1\\n2\\n' | sed 2Q; echo x | sed ':a;ba' & sleep 0.1; kill $!; wait $!; echo $?", `1\n7\n1\n143\n`, 0},
		{"grep of what it cannot do", `echo aa | grep '\(a\)\1'; echo $?`, `grep: back-references in patterns are not supported\n2\n`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 && test.name == "ls of a device" {
				return // it is nobody's in a user namespace
			}
			out, err := command(t, "sh", "-c", test.script).CombinedOutput()
			if !regexp.MustCompile(`^(?:`+test.want+`)$`).Match(out) || exitCode(err) != test.code {
				t.Errorf("%q, code %d; want %q, %d", out, exitCode(err), test.want, test.code)
			}
		})
	}
}
