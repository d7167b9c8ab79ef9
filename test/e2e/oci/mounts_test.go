package oci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func add(b *box, m ...specs.Mount) { b.spec.Mounts = append(b.spec.Mounts, m...) }

// source makes a directory on the host with a file in it, and with a tmpfs mounted below it.
func source(b *box) string {
	b.Helper()
	dir := filepath.Join(b.dir, "source")
	b.must(os.MkdirAll(filepath.Join(dir, "below"), 0o755))
	b.must(os.WriteFile(filepath.Join(dir, "file"), []byte("content\n"), 0o644))
	b.must(unix.Mount("tmpfs", filepath.Join(dir, "below"), "tmpfs", 0, "mode=0777"))
	b.Cleanup(func() {
		if err := unix.Unmount(filepath.Join(dir, "below"), unix.MNT_DETACH); err != nil {
			b.Error(err)
		}
	})
	return dir
}

func TestMounts(t *testing.T) {
	const find = `grep " /m" /proc/self/mountinfo`
	bind := func(options ...string) func(b *box) {
		return func(b *box) {
			add(b, specs.Mount{Destination: "/m", Type: "bind", Source: source(b), Options: options})
		}
	}
	tmpfs := func(options ...string) func(b *box) {
		return func(b *box) { add(b, specs.Mount{Destination: "/m", Type: "tmpfs", Source: "name", Options: options}) }
	}
	observe(t, []field{
		{"bind", bind("bind"), find + `; cat /m/file; ls /m/below`, `^[^\n]* /m rw[^\n]*\ncontent$`},
		{"rbind", bind("rbind"), find, `/m rw.*\n.* /m/below rw`},
		{"bind, read-only", bind("bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"), find,
			`/m ro,nosuid,nodev,noexec,noatime,nodiratime `},
		{"nosymfollow", bind("bind", "nosymfollow"), find, `/m rw,\w+,nosymfollow`},
		{"rbind, read-only above", bind("rbind", "ro"), find, `/m ro.*\n.* /m/below rw`},
		{"rbind, read-only all", bind("rbind", "rro", "rnosuid"), find, `/m ro,nosuid.*\n.* /m/below ro,nosuid`},
		{"private", bind("bind", "private"), find, `/m rw,\w+ - `},
		{"unbindable", bind("bind", "unbindable"), find, `/m rw,\w+ unbindable - `},
		{"shared", bind("rbind", "rshared"), find, `/m rw,\w+ shared:\d+.*\n.*below rw,\w+ shared:`},
		{"file", func(b *box) {
			add(b, specs.Mount{Destination: "/a/b", Type: "bind", Source: source(b) + "/file", Options: []string{"bind"}})
		}, `cat /a/b`, `^content$`},
		{"relative source", func(b *box) {
			source(b)
			add(b, specs.Mount{Destination: "/m", Source: "source", Options: []string{"bind"}})
		}, `cat /m/file`, `^content$`},
		{"relative destination", func(b *box) {
			add(b, specs.Mount{Destination: "m/n", Source: source(b), Options: []string{"bind"}})
		}, `cat /m/n/file`, `^content$`},
		{"tmpfs", tmpfs("size=128k", "mode=1741", "strictatime"), find + `; stat -c %a /m`, `/m rw - tmpfs name rw,size=128k,mode=1741.*\n1741$`},
		{"tmpcopyup", func(b *box) {
			b.must(os.MkdirAll(b.rootfs("m/d"), 0o755))
			b.must(os.WriteFile(b.rootfs("m/d/f"), []byte("kept\n"), 0o644))
			b.must(os.Chown(b.rootfs("m/d/f"), 3, 4))
			b.must(os.Symlink("d/f", b.rootfs("m/l")))
			tmpfs("tmpcopyup")(b)
		}, `cat /m/l; stat -c "%a %u %g" /m/d/f; echo new > /m/d/g; ` + find, `^kept\n644 3 4\n.*/m rw.* - tmpfs`},
		{"remount", func(b *box) {
			tmpfs("size=64k")(b)
			add(b, specs.Mount{Destination: "/m", Options: []string{"remount", "ro", "noexec"}})
		}, find, `/m ro,noexec`},
		{"read-only /dev", func(b *box) { b.spec.Mounts[1].Options = append(b.spec.Mounts[1].Options, "ro") },
			`grep " /dev " /proc/self/mountinfo; ls /dev/pts/ptmx; touch /dev/x 2>&1 || echo refused`, `/dev ro,nosuid.*\n/dev/pts/ptmx\n.*\nrefused$`},
		{"proc with options", func(b *box) { b.spec.Mounts[0].Options = []string{"hidepid=invisible", "nosuid"} },
			`grep " /proc " /proc/self/mountinfo`, `/proc rw,nosuid.* - proc proc rw,hidepid=invisible`},
		{"sysfs", func(*box) {}, `grep " /sys " /proc/self/mountinfo`, `/sys ro,nosuid,nodev,noexec.* - sysfs`},
		{"mqueue", func(*box) {}, `grep " /dev/mqueue " /proc/self/mountinfo`, `/dev/mqueue rw,nosuid,nodev,noexec.* - mqueue`},
		{"cgroup", func(*box) {}, `grep -c " /sys/fs/cgroup.* - cgroup" /proc/self/mountinfo; ls /sys/fs/cgroup; cat /proc/self/cgroup`,
			`^[1-9][\s\S]*:/$`},
		{"rootfs, shared", func(b *box) { b.spec.Linux.RootfsPropagation = "shared" }, `grep " / / \| / rw" /proc/self/mountinfo`, `shared:`},
		{"rootfs, private", func(b *box) { b.spec.Linux.RootfsPropagation = "private" }, `head -n 1 /proc/self/mountinfo`, ` / rw\S* - `},
		{"overlay", func(b *box) {
			for _, d := range []string{"lower", "upper", "work"} {
				b.must(os.Mkdir(filepath.Join(b.dir, d), 0o755))
			}
			b.must(os.WriteFile(filepath.Join(b.dir, "lower/f"), []byte("low\n"), 0o644))
			add(b, specs.Mount{Destination: "/m", Type: "overlay", Source: "overlay", Options: []string{
				"lowerdir=" + b.dir + "/lower", "upperdir=" + b.dir + "/upper", "workdir=" + b.dir + "/work",
			}})
		}, `cat /m/f; ` + find, `^low\n.* - overlay`},
	})
}

// TestInnerMounts: a bind mount's source may be what an earlier one has brought into the
// root, as with runc and crun; links of the image's do not lead out of the root.
func TestInnerMounts(t *testing.T) {
	inner := func(b *box, to, from string, options ...string) {
		add(b, specs.Mount{Destination: to, Type: "bind", Source: b.rootfs(from), Options: options})
	}
	b := newBox(t)
	dir := source(b)
	b.must(os.Symlink("/etc", filepath.Join(dir, "link")))
	b.must(os.WriteFile(b.rootfs("etc/name"), []byte("the image's\n"), 0o644))
	b.must(os.Chown(filepath.Join(dir, "file"), 5, 6))
	add(b, specs.Mount{Destination: "/t", Type: "tmpfs"},
		specs.Mount{Destination: "/t/m", Type: "bind", Source: dir, Options: []string{"rbind"}},
		specs.Mount{Destination: b.rootfs("hosts/path"), Type: "bind", Source: dir, Options: []string{"bind"}})
	inner(b, "/one", "t/m", "bind", "ro", "nosuid")
	inner(b, "/all", "t", "rbind", "rprivate")
	inner(b, "/file", "t/m/file", "bind")
	inner(b, "/linked", "t/m/link", "bind")
	maps := []specs.LinuxIDMapping{{HostID: 100, Size: 1000}}
	add(b, specs.Mount{Destination: "/mapped", Type: "bind", Source: b.rootfs("t/m"), Options: []string{"bind"}, UIDMappings: maps, GIDMappings: maps})
	got := b.run(`cat /one/file /all/m/file /file /linked/name /hosts/path/file; ls /one/below; stat -c %u /mapped/file
grep -c " /all/m/below " /proc/self/mountinfo; grep " /one " /proc/self/mountinfo; touch /one/x 2>/dev/null || echo read-only`)
	if !regexp.MustCompile(`^content\ncontent\ncontent\nthe image's\ncontent\n105\n1\n.* /one ro,nosuid.*\nread-only$`).MatchString(got) {
		t.Errorf("inside: %s", got)
	}
	b = newBox(t)
	userns(b)
	add(b, specs.Mount{Destination: "/m", Type: "bind", Source: source(b), Options: []string{"rbind"}})
	inner(b, "/n", "m", "rbind")
	b.must(os.Chown(filepath.Join(b.dir, "source/file"), 5, 6))
	inner(b, "/mapped", "m", "rbind", "idmap")
	if got := b.run(`cat /n/file; stat -c %u /n/file /mapped/file; grep -c " /n/below " /proc/self/mountinfo`); got != "content\n65534\n5\n1" {
		t.Errorf("in a user namespace: %s", got)
	}
	inner(b, "/gone", "m/nosuch", "bind")
	b.write()
	if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, "mount /gone") {
		t.Errorf("a source that is not there: %v: %s", err, out)
	}
}

// TestIDMappedMounts: owners are seen through the mapping of the mount, or of the
// container's user namespace.
func TestIDMappedMounts(t *testing.T) {
	maps := func(host uint32) []specs.LinuxIDMapping { return []specs.LinuxIDMapping{{HostID: host, Size: 1000}} }
	b := newBox(t)
	dir := source(b)
	b.must(os.Chown(filepath.Join(dir, "file"), 5, 6))
	add(b, specs.Mount{Destination: "/m", Type: "bind", Source: dir, Options: []string{"bind"}, UIDMappings: maps(100), GIDMappings: maps(200)})
	if got := b.run(`stat -c "%u %g" /m/file`); got != "105 206" {
		t.Errorf("the mount's own mapping: %s", got)
	}
	b = newBox(t)
	dir = source(b)
	b.must(os.Chown(filepath.Join(dir, "file"), 5, 6))
	userns(b)
	add(b, specs.Mount{Destination: "/m", Type: "bind", Source: dir, Options: []string{"rbind", "ridmap"}},
		specs.Mount{Destination: "/n", Type: "bind", Source: dir, Options: []string{"rbind"}})
	if got := b.run(`stat -c "%u %g" /m/file /n/file; stat -c %u /m/below`); got != "5 6\n65534 65534\n0" {
		t.Errorf("the container's mapping: %s", got)
	}
}

// userns gives the container a user namespace whose root is the host's 100000.
func userns(b *box) {
	b.Helper()
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
	b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	b.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	b.must(filepath.Walk(b.rootfs(), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.Sys().(*syscall.Stat_t).Nlink > 1 && !info.IsDir() { // the toolbox is a link to the built one
			return err
		}
		return os.Lchown(path, 100000, 100000)
	}))
}

func TestUserNamespace(t *testing.T) {
	b := newBox(t)
	userns(b)
	b.spec.Process.OOMScoreAdj = pointer(77)
	b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/two", Type: "c", Major: 1, Minor: 3, UID: pointer(uint32(2))}}
	got := b.run(`cat /proc/self/uid_map /proc/self/gid_map; id; touch /tmp/x; stat -c %u /dev/null /dev/two /dev/shm; cat /proc/self/oom_score_adj; echo x > /dev/null && echo ok`)
	for _, want := range []string{"0     100000      65536", "uid=0 gid=0", "\n0\n2\n0\n77\nok"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	info, err := os.Stat(b.rootfs("tmp/x"))
	b.must(err)
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != 100000 {
		t.Errorf("the file belongs to %d", uid)
	}
}

// TestNewUserAndTimeNamespace: a time namespace takes one process more, and the mapping
// is given to the right one.
func TestNewUserAndTimeNamespace(t *testing.T) {
	b := newBox(t)
	userns(b)
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
	b.spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 9}}
	if got := b.run(`cat /proc/self/uid_map /proc/self/timens_offsets`); !strings.Contains(got, "100000") || !strings.Contains(got, " 9 ") {
		t.Errorf("got %q", got)
	}
}

// TestJoinedUserNamespace: a second container joins the first one's by path; the
// configuration need not repeat how it maps.
func TestJoinedUserNamespace(t *testing.T) {
	first := newBox(t)
	userns(first)
	first.start()
	if got := first.exec(`cat /proc/self/uid_map; id`); !strings.Contains(got, "100000") || !strings.Contains(got, "uid=0") {
		t.Errorf("exec: %q", got)
	}
	second := newBox(t)
	userns(second)
	second.spec.Linux.UIDMappings, second.spec.Linux.GIDMappings = nil, nil
	last := len(second.spec.Linux.Namespaces) - 1
	second.spec.Linux.Namespaces[last].Path = fmt.Sprintf("/proc/%d/ns/user", first.state().Pid)
	got := second.run(`cat /proc/self/uid_map; stat -c %u /dev/null /dev/shm; readlink /proc/self/ns/user`)
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/user", first.state().Pid))
	first.must(err)
	if !strings.Contains(got, "100000") || !strings.HasSuffix(got, "\n0\n0\n"+ns) {
		t.Errorf("got %q, want %s", got, ns)
	}
}

// TestJoinedMountNamespace: what a mount namespace that is joined has for its root becomes
// the container's, and the host's mounts stay what they are.
func TestJoinedMountNamespace(t *testing.T) {
	b := newBox(t)
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("no unshare")
	}
	mounts := func(pid string) string {
		text, err := os.ReadFile("/proc/" + pid + "/mountinfo")
		b.must(err)
		return string(text)
	}
	ready, write, err := os.Pipe()
	b.must(err)
	defer ready.Close()
	keeper := exec.Command("unshare", "--mount", "sh", "-c", "echo; exec sleep 1000")
	keeper.Stdout = write
	b.must(keeper.Start())
	write.Close()
	b.Cleanup(func() {
		_ = keeper.Process.Kill()
		_ = keeper.Wait()
	})
	_, err = ready.Read(make([]byte, 1))
	b.must(err)
	join := func(pid string) string {
		at := "/proc/" + pid + "/ns/mnt"
		for i, n := range b.spec.Linux.Namespaces {
			if n.Type == specs.MountNamespace {
				b.spec.Linux.Namespaces[i].Path = at
			}
		}
		return at
	}
	name, err := os.Readlink(join(strconv.Itoa(keeper.Process.Pid)))
	b.must(err)
	b.start()
	if got := b.exec(`readlink /proc/self/ns/mnt; ls /`); got != name+"\nbin\ndev\netc\nproc\nsys\ntmp" {
		t.Errorf("inside %s: %s", name, got)
	}
	if got := mounts(strconv.Itoa(b.state().Pid)); strings.Contains(got, " /run") || strings.Contains(got, " /sys/fs/cgroup/unified") {
		t.Errorf("the host's mounts are still there: %s", got)
	}
	b.call("delete", "--force", b.id)
	if after := mounts("self"); strings.Contains(after, b.dir) || !strings.Contains(after, " / / ") {
		t.Errorf("the host's mounts are %s", after)
	}
	join("self")
	b.write()
	if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, "linux.namespaces") {
		t.Errorf("the host's own: %v: %s", err, out)
	}
}
