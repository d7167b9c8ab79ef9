package look

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/testenv"
)

// initProcess is the process that every recorded host has.
const initProcess = `
1 0 0 1 / /sbin/init
`

// article is the pod of the seed article as containerd and kubelet make it, with an
// exec in the app that shares all but its mount namespace.
const article = initProcess + `
400 1 0 400 /system.slice/containerd.service /usr/bin/containerd
4947 1 0 4947 /system.slice/containerd.service /usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id $A -address /run/c.sock
4966 4947 65535 4966,1 /kubepods/burstable/pod$UID/$A /pause
  mnt=15 pid=18 uts=16 ipc=17 net=14
5001 4947 0 5001,1 /kubepods/burstable/pod$UID/$B /usr/bin/python3 gunicorn
  mnt=19 pid=20 uts=16 ipc=17 net=14
  mountinfo: 22 1 0:5 /pods/$UID/containers/app/6c1 /dev/termination-log rw - ext4 /dev/sda rw
5016 5001 0 5016,7 /kubepods/burstable/pod$UID/$B /usr/bin/python3 gunicorn
  mnt=19 pid=20 uts=16 ipc=17 net=14
5020 4947 0 5020,9 /kubepods/burstable/pod$UID/$B /bin/sh
  mnt=99 pid=20 uts=16 ipc=17 net=14
5035 4947 100 5035,1 /kubepods/burstable/pod$UID/$C /bin/sleep 3650d
  mnt=21 pid=22 uts=16 ipc=17 net=14
  environ: PATH=/bin\0HOSTNAME=foo\0
`

func TestGather(t *testing.T) {
	for _, c := range []struct {
		name, table string
		files       map[string]string
		want        []string
	}{
		{
			"kubernetes on containerd", article,
			map[string]string{"var/log/pods/default_foo_" + uid + "/app/0.log": ""},
			[]string{
				"foo sandbox sandbox containerd pause pause",
				"foo app container containerd python3 python3+python3+sh",
				"foo  container containerd sleep sleep",
			},
		},
		{
			"docker tells names in its records", initProcess + `
4707 1 0 4707 /system.slice/containerd.service /usr/bin/containerd-shim-runc-v2 -namespace moby -id $A
4727 4707 0 4727,1 /docker/$A nginx
  mnt=15 pid=18 uts=16 ipc=17 net=14
4781 4727 33 4781,8 /docker/$A nginx
  mnt=15 pid=18 uts=16 ipc=17 net=14
`, map[string]string{"var/lib/docker/containers/" + idA + "/config.v2.json": `{"Name":"/foo"}`},
			[]string{"- foo container docker nginx nginx+nginx"},
		},
		{
			"docker with a cgroup parent that tells no engine", initProcess + `
4707 1 0 4707 /system.slice/docker.service /usr/bin/containerd-shim-runc-v2 -namespace moby -id $A
4727 4707 0 4727,1 /pod-foo/$A sleep infinity
  mnt=15 pid=18
`, nil, []string{"-  container docker sleep sleep"},
		},
		{
			"a podman pod", initProcess + `
30 1 0 30 /machine.slice/libpod-conmon-$A.scope /usr/bin/conmon -c $A -u $A -n 1234-infra
31 30 0 31,1 /machine.slice/machine-libpod_pod_$D.slice/libpod-$A.scope /catatonit -P
  mnt=15 pid=18 uts=16 ipc=17 net=14
40 1 0 40 /machine.slice/libpod-conmon-$B.scope /usr/bin/conmon -c $B -u $B --name web
41 40 0 41,1 /machine.slice/machine-libpod_pod_$D.slice/libpod-$B.scope nginx
  mnt=19 pid=20 uts=16 ipc=17 net=14
  environ: HOSTNAME=duo\0
`, nil, []string{
				"duo 1234-infra sandbox podman catatonit catatonit",
				"duo web container podman nginx nginx",
			},
		},
		{
			"podman with cgroupfs", initProcess + `
30 1 0 30 /libpod_parent/$D/conmon /usr/bin/conmon -c $A -n solo
31 30 0 31,1 /libpod_parent/$D/libpod-$A sleep 9
  mnt=15 pid=18
`, nil, []string{"dddddddddddd solo container podman sleep sleep"},
		},
		{
			"a podman pod below a parent of the user's choice", initProcess + `
30 1 0 30 /mine/$D/conmon /usr/bin/conmon -c $A -n infra
31 30 0 31,1 /mine/$D/libpod-$A catatonit
  mnt=15 pid=18 net=14
40 1 0 40 /mine/$D/conmon /usr/bin/conmon -c $B -n web
41 40 0 41,1 /mine/$D/libpod-$B nginx
  mnt=19 pid=20 net=14
  environ: HOSTNAME=duo\0
`, nil, []string{"duo infra sandbox podman catatonit catatonit", "duo web container podman nginx nginx"},
		},
		{
			"a process in a container without an engine's mark is not believed either", initProcess + `
30 1 0 30 /mine/$A sh
  mnt=15
31 30 0 31 /mine/$A conmon -c $B -n evil
  mnt=15
`, nil, []string{"-  container - sh sh+conmon"},
		},
		{
			"cri-o without a pause process", initProcess + `
30 1 0 30 /system.slice/crio-conmon-$B.scope /usr/bin/conmon -b /var/run/containers/crio/x -c $B -n k8s_app_foo_default_u_0
31 30 0 31,1 /kubepods.slice/kubepods-pod4a8d5c3e_3821_4727_9d20_965febbccfbb.slice/crio-$B.scope httpd
  mnt=15 pid=18 net=14
  environ: HOSTNAME=foo\0
`, nil, []string{"foo  container cri-o httpd httpd"},
		},
		{
			"lxc, a machine, ctr", initProcess + `
30 1 0 30,1 /lxc.payload.box /sbin/init
  mnt=15 pid=18
40 1 0 40,1 /machine.slice/systemd-nspawn@deb\x2dian.service /sbin/init
  mnt=25 pid=28
50 1 0 50 /system.slice/containerd.service containerd-shim-runc-v2 -namespace default -id hello
51 50 0 51,1 /default/hello sleep 9
  mnt=35 pid=38
`, nil, []string{
				"- box container lxc init init",
				"- deb-ian container systemd-nspawn init init",
				"- hello container containerd sleep sleep",
			},
		},
		{
			"groups that no engine runs", initProcess + `
30 1 0 30 / unshare -m sh
31 30 0 31 / sh
  mnt=15
32 31 0 32 / sleep 9
  mnt=15
40 1 0 40 /user.slice bwrap --unshare-all sh
41 40 0 41,1 /user.slice sh
  mnt=25 pid=26
50 1 0 50 /system.slice/cups.service cupsd
  mnt=35
60 1 0 60 /user.slice/snap.firefox.x.scope firefox
  mnt=45
`, nil, []string{
				"- sh group - sh sh+sleep",
				"- sh group bwrap sh sh",
				"- cups.service group systemd cupsd cupsd",
				"- firefox group snap firefox firefox",
			},
		},
		{
			"a process in a container that calls itself a monitor is not believed", initProcess + `
30 1 0 30 /docker/$A sh
  mnt=15
31 30 0 31 /docker/$A conmon -c $B -n evil
  mnt=15
32 31 0 32 /docker/$A sleep 9
  mnt=15
`, nil, []string{"-  container docker sh sh+conmon+sleep"},
		},
		{
			"a runtime on its way into the container", initProcess + `
30 1 0 30 / conmon -c $A -n new
31 30 0 31 / runc init
`, nil, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := recordTree(t, c.table)
			for name, text := range c.files {
				put(t, filepath.Join(root, name), text)
			}
			if d := cmp.Diff(c.want, seen(readTree(t, root, Options{}))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPodOfTheArticle(t *testing.T) {
	h := readTree(t, recordTree(t, article), Options{})
	if len(h.Pods) != 1 {
		t.Fatalf("pods: %+v", h.Pods)
	}
	p := h.Pods[0]
	if p.ID != uid || p.Sandbox != 4966 || p.Name != "foo" || p.NameFrom != "/proc/5035/environ" || !slices.Equal(p.Containers, []int{0, 1, 2}) {
		t.Errorf("%+v", p)
	}
	app := h.Containers[1]
	want := NS{19, 16, 17, 20, 14, h.NS[User], h.NS[Cgroup], h.NS[Time]}
	if app.NS != want || !slices.Equal(app.Odd, []int{5020}) {
		t.Errorf("app: %v, want %v; odd %v", app.NS, want, app.Odd)
	}
	if app.NameFrom != "/proc/5001/mountinfo" || app.From != "/proc/5001/cgroup" {
		t.Errorf("evidence: %q, %q", app.NameFrom, app.From)
	}
	if got := h.Process(4947).Role; got != "containerd-shim" {
		t.Errorf("role of the shim: %q", got)
	}
	if h.NSFrom != "/proc/1/ns" || h.NS[Net] != 4026531833 {
		t.Errorf("host: %v from %s", h.NS, h.NSFrom)
	}
}

const carobTable = initProcess + `
20 1 0 20 / /usr/bin/carob serve
30 1 0 30 / carob-pod dddddddddddd
  mnt=15 uts=16 ipc=17 net=14 user=13
  fd/2: -> /run/carob/pods/$D/supervisor.log
31 30 0 31,1 /carob/$D/$A httpd
  mnt=19 pid=20 uts=16 ipc=17 net=14 user=13 cgroup=12
32 30 0 32,1 /carob/$D/$B sleep 9
  mnt=21 pid=22 uts=16 ipc=17 net=14 user=13 cgroup=11
40 1 0 40 / carob-pod eeeeeeeeeeee
  mnt=55 uts=56 ipc=57 net=54 user=53
  fd/2: -> /run/carob/pods/$E/supervisor.log
41 40 0 41,1 /carob/$C sleep 9
  mnt=59 pid=60 uts=56 ipc=57 net=54 user=53
`

func carobState(t *testing.T, root string) {
	t.Helper()
	state := filepath.Join(root, "run/carob/state")
	put(t, state+"/pod/"+idD+".json", `{"status":{"id":"`+idD+`","name":"foo","namespace":"default"}}`)
	put(t, state+"/pod/"+idE+".json", `{"status":{"id":"`+idE+`","name":"web","namespace":"default","spec":{"solo":true}}}`)
	put(t, state+"/container/"+idA+".json", `{"status":{"id":"`+idA+`","name":"app","podID":"`+idD+`"}}`)
	put(t, state+"/container/"+idB+".json", `{"status":{"id":"`+idA+`","name":"not its own","podID":"`+idD+`"}}`)
	put(t, state+"/container/"+idC+".json", `{"status":{"id":"`+idC+`","name":"web","podID":"`+idE+`"}}`)
}

func TestCarob(t *testing.T) {
	root := recordTree(t, carobTable)
	carobState(t, root)
	h := readTree(t, root, Options{})
	want := []string{
		"foo sandbox sandbox carob carob-pod carob-pod",
		"foo app container carob httpd httpd",
		"foo  container carob sleep sleep", // its record is another's
		"web sandbox sandbox carob carob-pod carob-pod",
		"web web container carob sleep sleep",
	}
	if d := cmp.Diff(want, seen(h)); d != "" {
		t.Error(d)
	}
	if len(h.Pods) != 2 || h.Pods[0].Solo || !h.Pods[1].Solo || h.Pods[1].ID != idE {
		t.Errorf("pods: %+v", h.Pods)
	}
	if h.Process(20).Role != "carob daemon" {
		t.Errorf("the daemon's role: %q", h.Process(20).Role)
	}
}

// TestCarobUnseen reads supervisors whose files may not be seen: the pod is known by
// the cgroups of its containers, or by the beginning of its ID.
func TestCarobUnseen(t *testing.T) {
	h := readTree(t, recordTree(t, initProcess+`
30 1 0 30 / carob-pod dddddddddddd
  mnt=15
31 30 0 31,1 /carob/$D/$A httpd
  mnt=19
40 1 0 40 / carob-pod eeeeeeeeeeee
  mnt=55
41 40 0 41,1 /carob/$C sleep 9
  mnt=59
`), Options{})
	var ids []string
	for _, p := range h.Pods {
		ids = append(ids, p.ID)
	}
	if want := []string{idD, "eeeeeeeeeeee"}; !slices.Equal(ids, want) {
		t.Errorf("pods %v, want %v", ids, want)
	}
}

// TestForgedRecords reads a process that calls itself carob's supervisor and shows a
// log in a directory of its own: only root and the reader may tell names.
func TestForgedRecords(t *testing.T) {
	testenv.Require(t, testenv.Root) // only root can give a directory to somebody else
	root := recordTree(t, carobTable)
	carobState(t, root)
	if err := os.Chown(filepath.Join(root, "run/carob"), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	for _, p := range readTree(t, root, Options{}).Pods {
		if p.Name != "" {
			t.Errorf("pod %s has a name from a stranger's directory: %q", p.ID, p.Name)
		}
	}
}

func TestRunDirs(t *testing.T) {
	root := recordTree(t, initProcess+`
31 1 0 31,1 /carob/$D/$A httpd
  mnt=19
`)
	carobState(t, root)
	want := []string{"foo app container carob httpd httpd"}
	got := seen(readTree(t, root, Options{RunDirs: []string{"/run/carob", "/nowhere"}}))
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
