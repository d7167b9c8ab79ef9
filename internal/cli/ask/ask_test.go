package ask

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/pflag"

	"carob/internal/spec"
)

func host() Host {
	return Host{
		LookupEnv: func(n string) (string, bool) {
			v, ok := map[string]string{"HOME": "/root", "EMPTY": ""}[n]
			return v, ok
		},
		ReadFile: func(n string) ([]byte, error) {
			files := map[string]string{
				"env":   "\xef\xbb\xbf# comment\n\n  A=1\nHOME\nNOPE\nB= x \"y\"\n",
				"bad":   "OK=1\nnot a name=2\n",
				"prof":  `{"defaultAction":"SCMP_ACT_ALLOW"}`,
				"nojs":  "hello",
				"label": "tier=back\n",
			}
			if s, ok := files[n]; ok {
				return []byte(s), nil
			}
			return nil, errors.Join(os.ErrNotExist)
		},
		Abs: func(p string) (string, error) {
			if strings.HasPrefix(p, "/") {
				return p, nil
			}
			return "/cwd/" + strings.TrimPrefix(p, "./"), nil
		},
		Device: func(p string) (int64, int64, error) {
			if p != "/dev/sda" {
				return 0, 0, errors.New("no such device")
			}
			return 8, 0, nil
		},
	}
}

func translate(line string) (Request, error) {
	var r Run
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	r.Bind(fs)
	r.BindForeground(fs)
	if err := fs.Parse(strings.Fields(line)); err != nil {
		return Request{}, err
	}
	return r.Translate(fs.Args(), host())
}

func ptr[T any](v T) *T { return &v }

// base is what `run IMAGE` asks for.
func base() Request {
	return Request{
		Pod:       spec.Pod{Owner: "cli", Solo: true},
		Container: spec.Container{Image: "img", Args: []string{}},
	}
}

func TestTranslate(t *testing.T) {
	for _, c := range []struct {
		line string
		want func(q *Request, c *spec.Container)
	}{
		{"img", func(*Request, *spec.Container) {}},
		{"img echo -n --rm", func(_ *Request, c *spec.Container) { c.Args = []string{"echo", "-n", "--rm"} }},
		{"--name web --rm -it img", func(q *Request, c *spec.Container) {
			q.Pod.Name, c.Name, c.AutoRemove, c.Stdin, c.StdinOnce, c.TTY = "web", "web", true, true, true, true
		}},
		{"--log-driver json-file --log-opt max-size=1m --log-opt max-file=3 img", func(_ *Request, c *spec.Container) {
			c.Log = spec.Log{MaxSize: 1 << 20, MaxFiles: 3}
		}},
		{"--log-opt max-size=-1 img", func(_ *Request, c *spec.Container) { c.Log.MaxSize = spec.NoLogLimit }},
		{"--log-driver none img", func(_ *Request, c *spec.Container) { c.Log.Off = true }},
		{"--runtime crun img", func(q *Request, _ *spec.Container) { q.Pod.Handler = "crun" }},
		{"-di img", func(_ *Request, c *spec.Container) { c.Stdin = true }},
		{"--entrypoint sh img -c x", func(_ *Request, c *spec.Container) {
			c.Command, c.Args = []string{"sh"}, []string{"-c", "x"}
		}},
		{"--entrypoint= img sh", func(_ *Request, c *spec.Container) { c.Command, c.Args = []string{"sh"}, nil }},
		{"--memory 512MB --cpus 0.5 img", func(_ *Request, c *spec.Container) {
			c.Resources = &specs.LinuxResources{
				Memory: &specs.LinuxMemory{Limit: ptr(int64(536870912)), Swap: ptr(int64(1073741824))},
				CPU:    &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
			}
		}},
		{"-m 1g --memory-swap -1 --memory-reservation 512m img", func(_ *Request, c *spec.Container) {
			c.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{
				Limit: ptr(int64(1 << 30)), Swap: ptr(int64(-1)), Reservation: ptr(int64(512 << 20)),
			}}
		}},
		{"--cpu-shares 512 --cpuset-cpus 0-1 --cpuset-mems 0 --pids-limit 7 img", func(_ *Request, c *spec.Container) {
			c.Resources = &specs.LinuxResources{
				CPU:  &specs.LinuxCPU{Shares: ptr(uint64(512)), Cpus: "0-1", Mems: "0"},
				Pids: &specs.LinuxPids{Limit: ptr(int64(7))},
			}
		}},
		{"--pids-limit 0 img", func(_ *Request, c *spec.Container) {
			c.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}
		}},
		{"--blkio-weight 300 --device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:9 img", func(_ *Request, c *spec.Container) {
			dev := specs.LinuxBlockIODevice{Major: 8}
			c.Resources = &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{
				Weight:                  ptr(uint16(300)),
				ThrottleReadBpsDevice:   []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: 1 << 20}},
				ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{{LinuxBlockIODevice: dev, Rate: 9}},
			}}
		}},
		{"--network host --ipc container:a --pid host --uts container:a --cgroupns host --userns host img",
			func(q *Request, c *spec.Container) {
				q.Pod.Namespaces = spec.Namespaces{
					Net: spec.Host, IPC: spec.OfContainer("a"), PID: spec.Host, UTS: spec.OfContainer("a"), User: spec.Host,
				}
				c.Namespaces.Cgroup = spec.Host
			}},
		{"--network none --ipc shareable img", func(q *Request, _ *spec.Container) {
			q.Pod.Namespaces = spec.Namespaces{Net: spec.None, IPC: spec.Own}
		}},
		{"--pod p --network host --cgroup-parent /x img", func(q *Request, c *spec.Container) {
			q.PodRef, c.Namespaces.Net, c.CgroupParent = "p", spec.Host, "/x"
		}},
		{"--cgroup-parent /pod-foo --hostname h img", func(q *Request, _ *spec.Container) {
			q.Pod.CgroupParent, q.Pod.Hostname = "/pod-foo", "h"
		}},
		{"--cgroup-parent foo-bar.slice img", func(q *Request, _ *spec.Container) { q.Pod.CgroupParent = "foo-bar.slice" }},
		{"--network host -p 80:80 img", func(q *Request, _ *spec.Container) {
			q.Pod.Namespaces.Net = spec.Host
			q.Notes = []string{"--publish has no meaning with --network host: the ports are the host's"}
		}},
		{"--env-file env -e A=2 -e HOME -e NOPE -e EMPTY img", func(_ *Request, c *spec.Container) {
			c.Env = []string{"A=1", "HOME=/root", `B= x "y"`, "A=2", "HOME=/root", "EMPTY="}
		}},
		{"-l a=b -l c --label-file label --annotation x=y=z img", func(q *Request, c *spec.Container) {
			q.Pod.Annotations = map[string]string{"x": "y=z"}
			c.Labels = map[string]string{"a": "b", "c": "", "tier": "back"}
			c.Annotations = map[string]string{"x": "y=z"}
		}},
		{"-v /src:/dst:ro,rshared -v ./rel:/rel -v vol:/data -v /anon img", func(_ *Request, c *spec.Container) {
			c.Mounts = []spec.Mount{
				{Type: spec.Bind, Source: "/src", Target: "/dst", ReadOnly: true, Propagation: "rshared"},
				{Type: spec.Bind, Source: "/cwd/rel", Target: "/rel"},
				{Type: spec.Volume, Source: "vol", Target: "/data"},
				{Type: spec.Volume, Target: "/anon"},
			}
		}},
		{"--mount type=bind,src=/s,dst=/d,readonly --mount target=/v,source=vol --mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770 img",
			func(_ *Request, c *spec.Container) {
				c.Mounts = []spec.Mount{
					{Type: spec.Bind, Source: "/s", Target: "/d", ReadOnly: true},
					{Type: spec.Volume, Source: "vol", Target: "/v"},
					{Type: spec.Tmpfs, Target: "/t", Size: 1 << 20, Mode: 0o1770},
				}
			}},
		{"--mount type=image,source=data:1,target=/m,image-subpath=a/b img", func(_ *Request, c *spec.Container) {
			c.Mounts = []spec.Mount{{Type: spec.Image, Source: "data:1", Target: "/m", SubPath: "a/b"}}
		}},
		{"--tmpfs /run --tmpfs /x:exec,size=64k,mode=700,ro img", func(_ *Request, c *spec.Container) {
			c.Mounts = []spec.Mount{
				{Type: spec.Tmpfs, Target: "/run", Options: []string{"noexec", "nosuid", "nodev"}},
				{Type: spec.Tmpfs, Target: "/x", Size: 64 << 10, Mode: 0o700, ReadOnly: true, Options: []string{"exec", "nosuid", "nodev"}},
			}
		}},
		{"--device /dev/fuse --device /dev/a:/dev/b:rw --device /dev/c:r img", func(_ *Request, c *spec.Container) {
			c.Devices = []spec.Device{
				{Source: "/dev/fuse"}, {Source: "/dev/a", Target: "/dev/b", Access: "rw"}, {Source: "/dev/c", Access: "r"},
			}
		}},
		{"--ulimit nofile=1024:2048 --ulimit core=-1 --ulimit nofile=10 img", func(_ *Request, c *spec.Container) {
			c.Rlimits = []specs.POSIXRlimit{
				{Type: "RLIMIT_CORE", Soft: math.MaxUint64, Hard: math.MaxUint64}, {Type: "RLIMIT_NOFILE", Soft: 10, Hard: 10},
			}
		}},
		{"--cap-add NET_ADMIN --cap-drop ALL --security-opt no-new-privileges --security-opt seccomp=prof --security-opt systempaths=unconfined --read-only img",
			func(_ *Request, c *spec.Container) {
				c.Security = spec.Security{
					CapAdd: []string{"NET_ADMIN"}, CapDrop: []string{"ALL"}, NoNewPrivileges: true, ReadOnlyRootfs: true,
					Seccomp: `{"defaultAction":"SCMP_ACT_ALLOW"}`, Unmasked: true,
				}
			}},
		{"--security-opt label=type:t --security-opt label=level:s0 --security-opt apparmor=p img", func(_ *Request, c *spec.Container) {
			c.Security = spec.Security{SELinux: "::t:s0", AppArmor: "p"}
		}},
		{"--security-opt label=disable img", func(_ *Request, c *spec.Container) { c.Security = spec.Security{SELinux: "disable"} }},
		{"--privileged img", func(q *Request, c *spec.Container) {
			c.Security = spec.Security{Privileged: true, Seccomp: "unconfined"}
			q.Pod.Namespaces.User = spec.Host
		}},
		{"--restart on-failure:3 --init --stop-signal INT --stop-timeout 3 --oom-score-adj 500 img", func(_ *Request, c *spec.Container) {
			c.Restart = spec.Restart{Policy: spec.RestartOnFailure, MaxRetries: 3}
			c.Init, c.StopSignal, c.StopTimeout, c.OOMScoreAdj = true, "INT", ptr(3), ptr(500)
		}},
		{"--add-host a:10.0.0.1 --add-host b=10.0.0.1 --add-host v6:[::1] --dns 9.9.9.9 --dns-search x.y --sysctl net.a=1 --shm-size 1m img",
			func(q *Request, _ *spec.Container) {
				q.Pod.Hosts = []spec.HostAlias{{IP: "10.0.0.1", Hostnames: []string{"a", "b"}}, {IP: "::1", Hostnames: []string{"v6"}}}
				q.Pod.DNS = &spec.DNS{Policy: spec.DNSFill, Nameservers: []string{"9.9.9.9"}, Searches: []string{"x.y"}}
				q.Pod.Sysctls, q.Pod.ShmSize = map[string]string{"net.a": "1"}, 1<<20
			}},
		{"--storage-opt size=10G img", func(_ *Request, c *spec.Container) { c.StorageSize = 10 << 30 }},
		{"-u 1000:1000 -w /tmp --group-add video img", func(_ *Request, c *spec.Container) {
			c.User, c.WorkingDir, c.Groups = "1000:1000", "/tmp", []string{"video"}
		}},
	} {
		t.Run(c.line, func(t *testing.T) {
			want := base()
			c.want(&want, &want.Container)
			got, err := translate(c.line)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// Every bad value is one line that begins with its flag.
func TestTranslateRefuses(t *testing.T) {
	for _, c := range []struct{ line, begins string }{
		{"", "needs an image"},
		{"--pod p --runtime crun img", "--runtime: belongs to the pod"},
		{"--memory lots img", `--memory "lots"`},
		{"--memory -5m img", `--memory "-5m"`},
		{"-m 1g --memory-swap 1m img", `--memory-swap "1m"`},
		{"--memory-swap 1m img", `--memory-swap: needs`},
		{"-m 1m --memory-reservation 1g img", `--memory-reservation "1g"`},
		{"--cpus x img", `--cpus "x"`},
		{"--cpus -1 img", `--cpus "-1"`},
		{"--cpus 0.001 img", `--cpus "0.001"`},
		{"--cpus 1e99 img", `--cpus "1e99"`},
		{"--cpus 1 --cpu-quota 5 img", "--cpus: conflicts"},
		{"--cpuset-cpus a img", `--cpuset-cpus "a"`},
		{"--blkio-weight 5 img", `--blkio-weight "5"`},
		{"--device-read-bps /dev/nope:1mb img", `--device-read-bps "/dev/nope:1mb"`},
		{"--device-read-bps /dev/sda img", `--device-read-bps "/dev/sda"`},
		{"--env-file none img", `--env-file "none"`},
		{"--env-file bad img", `--env-file "bad": line 2`},
		{"-e =x img", `--env "=x"`},
		{"-v a:b:c:d img", `--volume "a:b:c:d"`},
		{"-v /a:b img", `--volume "/a:b"`},
		{"-v /a:/ img", `--volume "/a:/"`},
		{"-v a/b:/c img", `--volume "a/b:/c"`},
		{"-v /a:/b -v /c:/b img", `--volume "/c:/b": a second mount`},
		{"--mount type=bind,target=/x img", `--mount "type=bind,target=/x"`},
		{"--mount type=image,target=/x img", `--mount "type=image,target=/x"`},
		{"--mount type=nfs,target=/x img", `--mount "type=nfs,target=/x": type=nfs`},
		{"--mount type=tmpfs,target=/x,frob=1 img", `--mount "type=tmpfs,target=/x,frob=1": frob=1`},
		{"--tmpfs /x:uid=5 img", `--tmpfs "/x:uid=5"`},
		{"--device tty img", `--device "tty"`},
		{"--ulimit files=1 img", `--ulimit "files=1"`},
		{"--ulimit nofile=2:1 img", `--ulimit "nofile=2:1"`},
		{"--security-opt frob=1 img", `--security-opt "frob=1"`},
		{"--security-opt seccomp=nojs img", `--security-opt "seccomp=nojs"`},
		{"--network one:two img", `--network "one:two"`},
		{"--uts none img", `--uts "none"`},
		{"--pid pod img", `--pid: pod needs --pod`},
		{"--cgroupns container:x img", `--cgroupns "container:x"`},
		{"--uts host --hostname x img", "--hostname: conflicts"},
		{"--pod p --hostname x img", "--hostname: in a pod"},
		{"--pod p --dns 1.1.1.1 img", "--dns: belongs"},
		{"--cgroup-parent foo img", `--cgroup-parent "foo"`},
		{"-p 80:x img", `port "80:x": "x" is not a port`},
		{"-p 80:80 --network none img", "--publish: conflicts with --network none"},
		{"-p 80:80 --pod p img", "--publish: belongs to the pod"},
		{"--network a --pod p img", "--network a: belongs to the pod"},
		{"--network host --network a img", "--network host: cannot be one of several"},
		{"--network a --network b --ip 10.0.0.1 img", "--ip: is for one network"},
		{"--ip 10.0.0.256 img", `--ip "10.0.0.256": not an IP address`},
		{"--mac-address 01:00:00:00:00:01 img", `--mac-address "01:00:00:00:00:01": not the hardware address`},
		{"--pull sometimes img", `--pull "sometimes"`},
		{"--restart sometimes img", `--restart "sometimes"`},
		{"--restart always:3 img", `--restart "always:3"`},
		{"--restart on-failure:-1 img", `--restart "on-failure:-1": not a number of retries`},
		{"--restart always --rm img", "--restart: conflicts"},
		{"--oom-score-adj 2000 img", `--oom-score-adj "2000"`},
		{"--add-host x img", `--add-host "x"`},
		{"--dns x img", `--dns "x"`},
		{"--shm-size -1 img", `--shm-size "-1"`},
		{"--storage-opt size=0 img", `--storage-opt "size=0"`},
		{"--storage-opt overlay2.size=1G img", `--storage-opt "overlay2.size=1G": want size`},
		{"--workdir tmp img", `--workdir "tmp"`},
		{"--entrypoint= img", "--entrypoint: is empty"},
		{"--log-driver journald img", `--log-driver "journald"`},
		{"--log-opt max-size=1k img", `--log-opt "max-size=1k": want a size`},
		{"--log-opt max-file=0 img", `--log-opt "max-file=0": want a number`},
		{"--log-opt labels=x img", `--log-opt "labels=x": unknown`},
		{"--log-opt max-size=-1 --log-opt max-file=2 img", "--log-opt: max-file goes"},
		{"--log-driver none --log-opt max-size=1m img", `--log-opt "max-size=1m": there is no log`},
	} {
		t.Run(c.line, func(t *testing.T) {
			_, err := translate(c.line)
			if err == nil || !strings.HasPrefix(err.Error(), c.begins) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRelabel: where SELinux does not run, Docker's z has nothing to do.
func TestRelabel(t *testing.T) {
	h := host()
	for _, option := range []string{"z", "Z"} {
		if m, err := volume("/a:/b:ro,"+option, h); err != nil || !m.ReadOnly {
			t.Errorf("%s: %+v, %v", option, m, err)
		}
	}
	h.ReadFile = func(string) ([]byte, error) { return []byte("1"), nil }
	for option, want := range map[string]spec.Relabel{"z": spec.RelabelShared, "Z": spec.RelabelPrivate, "ro": ""} {
		if m, err := volume("/a:/b:"+option, h); err != nil || m.Relabel != want {
			t.Errorf("%s: %+v, %v", option, m, err)
		}
	}
	if _, err := volume("/a:/b:z,Z", h); err == nil || !strings.Contains(err.Error(), "z and Z") {
		t.Errorf("both: %v", err)
	}
}

func TestDetachKeys(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"ctrl-p,ctrl-q", "\x10\x11", true}, {"", "", true}, {"a,ctrl-@,ctrl-[", "a\x00\x1b", true}, {"ctrl-", "", false},
		{"ab", "", false}, {"ctrl-1", "", false},
	} {
		got, err := DetachKeys(c.in)
		if string(got) != c.want || (err == nil) != c.ok {
			t.Errorf("%q: got %q, %v", c.in, got, err)
		}
	}
}

func TestExec(t *testing.T) {
	var x Exec
	fs := pflag.NewFlagSet("exec", pflag.ContinueOnError)
	x.Bind(fs)
	if err := fs.Parse(strings.Fields("-it -e A=1 -u 5 -w /x --timeout 2s ls -l")); err != nil {
		t.Fatal(err)
	}
	got, err := x.Translate(fs.Args(), host())
	want := spec.Exec{
		Command: []string{"ls", "-l"}, Env: []string{"A=1"}, WorkingDir: "/x", User: "5", Stdin: true, TTY: true, Timeout: 2e9,
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := x.Translate(nil, host()); err == nil {
		t.Error("an exec without a command")
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add("-v /a:/b:ro --mount type=bind,src=/s,dst=/d --ulimit nofile=1 img")
	f.Add("--memory 5g --cpus .5 --device /dev/x:rw --add-host a:1.1.1.1 img")
	f.Fuzz(func(t *testing.T, line string) {
		if _, err := translate(line); err != nil && strings.Contains(err.Error(), "\n") && !strings.Contains(line, "\n") {
			t.Errorf("%q: more than one line: %v", line, err)
		}
	})
}
