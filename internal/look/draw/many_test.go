package draw

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"golang.org/x/tools/txtar"
)

// id makes an identifier as engines do, the same for the same word.
func id(word string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(word))) }

// many describes a node with fifty pods of a kubelet's, some containers of Docker's, of
// which two share a network without being a pod, and services of systemd's that have
// mount namespaces of their own.
func many() *txtar.Archive {
	h := &host{}
	h.process(1, 0, "1", "/", "/sbin/init")
	h.process(900, 1, "900", "/system.slice/containerd.service", "/usr/bin/containerd")
	h.group("/kubepods", "memory=32212254720/9123456789 pids=max/400")
	classes := []string{"guaranteed", "burstable", "besteffort"}
	apps := []string{"web", "api", "queue", "worker", "cache", "auth", "search", "mailer", "report", "gateway"}
	for i := range 50 {
		h.pod(i, fmt.Sprintf("%s-%d", apps[i%len(apps)], i/len(apps)), classes[i%3])
	}
	h.docker()
	for i, unit := range []string{"systemd-timesyncd", "systemd-logind", "chrony", "ModemManager"} {
		pid := 600 + i
		h.process(pid, 1, fmt.Sprint(pid), "/system.slice/"+unit+".service", "/usr/lib/"+unit)
		h.inodes(fmt.Sprintf("mnt=%d", 4026600000+i))
	}
	return &txtar.Archive{Files: append(h.files,
		txtar.File{Name: "processes", Data: []byte(h.processes.String())},
		txtar.File{Name: "cgroups", Data: []byte(h.groups.String())},
	)}
}

type host struct {
	processes, groups strings.Builder
	files             []txtar.File
}

func (h *host) process(pid, ppid int, nspid, cgroup, command string) {
	fmt.Fprintf(&h.processes, "%d %d 0 %s %s %s\n", pid, ppid, nspid, cgroup, command)
}

func (h *host) inodes(words string) { fmt.Fprintf(&h.processes, "  %s\n", words) }

func (h *host) group(path, words string) { fmt.Fprintf(&h.groups, "%s %s\n", path, words) }

// pod is one of one to four containers; every seventh is on the host's network, every
// fifth shares its pid namespace.
func (h *host) pod(i int, name, class string) {
	uid := id("pod" + name)
	uid = uid[:8] + "-" + uid[8:12] + "-4" + uid[13:16] + "-9" + uid[17:20] + "-" + uid[20:32]
	path := "/kubepods/" + class + "/pod" + uid
	if class == "guaranteed" {
		path = "/kubepods/pod" + uid
	}
	shim := 10000 + 100*i
	shared := 4027000000 + 100*i
	own := 4027000000 + 100*i
	h.process(shim, 1, fmt.Sprint(shim), "/system.slice/containerd.service", "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id "+id("sandbox"+name))
	common := fmt.Sprintf("uts=%d ipc=%d net=%d", shared+1, shared+2, shared+3)
	if i%7 == 6 {
		common = fmt.Sprintf("ipc=%d", shared+2)
	}
	if i%5 == 4 {
		common += fmt.Sprintf(" pid=%d", shared+4)
	}
	for j, c := range append([]string{"pause"}, []string{"app", "proxy", "logs", "metrics"}[:1+i%4]...) {
		pid := shim + 1 + 10*j
		group := path + "/" + id(name+c)
		if j == 0 {
			group = path + "/" + id("sandbox"+name)
		}
		h.process(pid, shim, fmt.Sprintf("%d,%d", pid, j+1), group, "/"+c)
		words := fmt.Sprintf("%s mnt=%d cgroup=%d", common, own+10+j, own+20+j)
		if i%5 != 4 {
			words += fmt.Sprintf(" pid=%d", own+30+j)
		}
		h.inodes(words)
		if j > 0 {
			h.inodes(fmt.Sprintf(`mountinfo: 500 400 8:1 /var/lib/kubelet/pods/%s/containers/%s/1f2e /dev/termination-log rw - ext4 /dev/sda1 rw`, uid, c))
			h.group(group, fmt.Sprintf("memory=%d/%d pids=max/%d", (64<<j)<<20, (20<<j)<<20, 1+j))
		}
		h.inodes("environ: HOSTNAME=" + name + `\0`)
		h.inodes(fmt.Sprintf(`net/fib_trie: |-- 10.244.0.%d\n/32 host LOCAL`, 10+i))
	}
	h.group(path, fmt.Sprintf("memory=%d/%d pids=1024/9", 1<<30, 200<<20))
}

// docker adds containers that are no pod.
func (h *host) docker() {
	h.group("/docker", "memory=max/912345678")
	for i, name := range []string{"registry", "proxy", "debug"} {
		pid := 50000 + 10*i
		h.files = append(h.files, txtar.File{
			Name: "host/var/lib/docker/containers/" + id(name) + "/config.v2.json", Data: []byte(`{"Name":"/` + name + `"}`),
		})
		h.process(pid, 1, fmt.Sprintf("%d,1", pid), "/docker/"+id(name), "/bin/"+name)
		net := 4028000000
		if name == "registry" {
			net++
		}
		h.inodes(fmt.Sprintf("net=%d mnt=%d uts=%d ipc=%d pid=%d", net, 4028100000+i, 4028200000+i, 4028300000+i, 4028400000+i))
		h.group("/docker/"+id(name), "memory=268435456/99000000 cpu=50000/100000 pids=max/1")
	}
}
