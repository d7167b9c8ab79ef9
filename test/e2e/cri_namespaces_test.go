package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestCRINamespaces holds each mode against /proc/PID/ns.
func TestCRINamespaces(t *testing.T) {
	k := start(t).kubelet()
	const pod, own, node = cri.NamespaceMode_POD, cri.NamespaceMode_CONTAINER, cri.NamespaceMode_NODE
	for _, c := range []struct {
		name          string
		o             *cri.NamespaceOption
		shared, hosts string // kinds that two containers share, and those that are the host's
	}{
		{"what a kubelet says", &cri.NamespaceOption{Pid: own}, "net ipc uts", "user"},
		{"one pid namespace", &cri.NamespaceOption{Pid: pod}, "net ipc uts pid", "user"},
		{"host", &cri.NamespaceOption{Network: node, Pid: node, Ipc: node}, "net ipc uts pid", "net ipc uts pid user"},
		{"nothing shared", &cri.NamespaceOption{Network: own, Pid: own, Ipc: own}, "uts", "user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &kubelet{&host{T: t, machine: k.machine}, k.RuntimeServiceClient, k.images, k.conn, k.ctx}
			s := k.sandbox(func(s *cri.PodSandboxConfig) { s.Linux.SecurityContext.NamespaceOptions = c.o })
			id := k.runPod(s)
			var pids []int
			for i := range 2 {
				r := k.ask(id, s, "exec sleep 1000000")
				r.Config.Metadata.Name = fmt.Sprint("c", i)
				r.Config.LogPath = ""
				one := k.create(r)
				k.start(one)
				pids = append(pids, k.processOf(one))
			}
			for _, kind := range []string{"net", "ipc", "uts", "pid", "user"} {
				a, b, ours := k.ns(pids[0], kind), k.ns(pids[1], kind), k.ns(os.Getpid(), kind)
				if kind == "user" {
					if a != ours {
						t.Errorf("user namespace is not the host's")
					}
					continue
				}
				if shared := strings.Contains(c.shared, kind); (a == b) != shared {
					t.Errorf("%s: %s and %s, shared should be %v", kind, a, b, shared)
				}
				if host := strings.Contains(c.hosts, kind); (a == ours) != host {
					t.Errorf("%s: %s, the host's is %s; that should be %v", kind, a, ours, host)
				}
			}
		})
	}
}

// TestCRITarget: a debug container joins the pid namespace of another.
func TestCRITarget(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	pod := k.runPod(s)
	first := k.create(k.ask(pod, s, "exec sleep 1000000"))
	k.start(first)
	r := k.ask(pod, s, "exec sleep 1000001")
	r.Config.Metadata.Name = "debug"
	r.Config.Linux.SecurityContext.NamespaceOptions = &cri.NamespaceOption{Pid: cri.NamespaceMode_TARGET, TargetId: first}
	debug := k.create(r)
	k.start(debug)
	if a, b := k.ns(k.processOf(first), "pid"), k.ns(k.processOf(debug), "pid"); a != b {
		t.Errorf("pid namespaces %s and %s", a, b)
	}
	if out := k.exec(debug, "ps"); !strings.Contains(out, "sleep 1000000") {
		t.Errorf("the target is not seen:\n%s", out)
	}
}

// TestCRIUserNamespace: the pod gets the very ids that were asked for, and its volumes
// look as on the host.
func TestCRIUserNamespace(t *testing.T) {
	k := start(t).kubelet()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	ids := []*cri.IDMapping{{HostId: 1_500_000_000, Length: 65536}}
	o := &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER, UsernsOptions: &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: ids, Gids: ids}}
	_, id := k.running(func(s *cri.PodSandboxConfig) { s.Linux.SecurityContext.NamespaceOptions = o }, func(c *cri.ContainerConfig) {
		c.Linux.SecurityContext.NamespaceOptions = o
		c.Mounts = []*cri.Mount{{ContainerPath: "/data", HostPath: dir, UidMappings: ids, GidMappings: ids}}
	})
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", k.processOf(id)))
	if err != nil || strings.Join(strings.Fields(string(b)), " ") != "0 1500000000 65536" {
		t.Errorf("uid_map %q, %v", b, err)
	}
	k.exec(id, "touch /data/file")
	if got := k.ok("exec", id, "ls", "-ln", "/data/file"); !strings.Contains(got, " 0 ") {
		t.Errorf("inside: %s", got)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/file", &st); err != nil || st.Uid != 0 {
		t.Errorf("outside: owner %d, %v", st.Uid, err)
	}
	s := k.sandbox(func(s *cri.PodSandboxConfig) {
		s.Metadata.Name += "-two"
		s.Linux.SecurityContext.NamespaceOptions = &cri.NamespaceOption{UsernsOptions: &cri.UserNamespace{Uids: append(ids, ids...), Gids: ids}}
	})
	_, err = k.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: s})
	wantCode(t, err, codes.FailedPrecondition, "two mappings")
}

// TestCRISecurity holds the security context against what the kernel shows.
func TestCRISecurity(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	pod := k.runPod(s)
	show := `grep -E "^(CapEff|CapAmb|CapBnd|NoNewPrivs|Seccomp|Groups):" /proc/self/status; cat /proc/kcore 2>&1 | wc -c; touch /x 2>&1; :`
	r := k.ask(pod, s, "exec sleep 1000000")
	r.Config.Linux.SecurityContext = &cri.LinuxContainerSecurityContext{
		NamespaceOptions: s.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		Capabilities: &cri.Capability{
			DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"CHOWN"}, AddAmbientCapabilities: []string{"NET_BIND_SERVICE"},
		},
		RunAsUser: &cri.Int64Value{Value: 1000}, RunAsGroup: &cri.Int64Value{Value: 1000}, SupplementalGroups: []int64{7},
		SupplementalGroupsPolicy: cri.SupplementalGroupsPolicy_Strict,
		NoNewPrivs:               true, ReadonlyRootfs: true, MaskedPaths: []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"},
		Seccomp: &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
	}
	id := k.create(r)
	k.start(id)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.processOf(id)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CapEff:\t0000000000000400", "CapAmb:\t0000000000000400", "CapBnd:\t0000000000000401", "NoNewPrivs:\t1", "Seccomp:\t2", "Groups:\t7 1000 ",
	} {
		if !strings.Contains(string(b), want+"\n") {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
	if out := k.exec(id, show); !strings.Contains(out, "Read-only file system") && !strings.Contains(out, "read-only file system") {
		t.Errorf("root file system is writable: %s", out)
	}
	r = k.ask(pod, s, "true")
	r.Config.Metadata.Name = "privileged"
	r.Config.Linux.SecurityContext.Privileged = true
	_, err = k.CreateContainer(k.ctx, r)
	wantCode(t, err, codes.InvalidArgument, "privileged in a sandbox that is not")
}

// TestCRIPropagation: what would silently not happen is refused.
func TestCRIPropagation(t *testing.T) {
	k := start(t).kubelet()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	s := k.sandbox(nil)
	r := k.ask(k.runPod(s), s, "true")
	for _, p := range []cri.MountPropagation{cri.MountPropagation_PROPAGATION_BIDIRECTIONAL, cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER} {
		r.Config.Mounts = []*cri.Mount{{ContainerPath: "/m", HostPath: dir, Propagation: p}}
		_, err := k.CreateContainer(k.ctx, r)
		wantCode(t, err, codes.FailedPrecondition, p.String())
	}
}
