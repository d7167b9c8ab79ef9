package risk

import (
	"slices"
	"strings"

	"carob/internal/look"
	"carob/internal/look/ink"
)

// namespaces judges those that are the host's. The mount namespace is judged apart.
func (j *judge) namespaces() {
	for _, n := range []struct {
		kind         look.Kind
		ruled, own   Severity
		why, closing string
	}{
		{look.PID, High, Medium, "it sees all processes of the host, and can signal and trace those of its user", "do not use --pid host, hostPID"},
		{look.Net, High, Medium, "it reaches what listens on the host's localhost and its abstract sockets", "do not use --network host, hostNetwork"},
		{look.IPC, Medium, Low, "it can reach shared memory and queues of the host", "do not use --ipc host, hostIPC"},
		{look.Cgroup, Low, Low, "it sees the host's names of control groups", "use a private cgroup namespace (--cgroupns private)"},
		{look.UTS, Low, Low, "it knows the host's name, and can change it with CAP_SYS_ADMIN", "do not use --uts host"},
	} {
		if j.Shares(n.kind) {
			j.add(j.pick(n.ruled, n.own), text{"is in the host's " + n.kind.String() + " namespace", n.why, n.closing}, "ns/"+n.kind.String())
		}
	}
}

// usual are the devices that every container has (runtime-spec, config-linux.md), and
// rules that only allow to make device files.
func usual() []string {
	return []string{
		"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:1 rwm",
		"c 5:2 rwm", "c 136:* rwm", "c 10:200 rwm",
	}
}

// devices judges v1's list.
func (j *judge) devices() {
	if !j.Listed {
		return
	}
	evidence := "devices.list of " + j.Group
	if slices.Contains(j.Devices, "a *:* rwm") {
		j.r.Findings = append(j.r.Findings, Finding{
			j.pick(High, Low), "may open every device", "with CAP_MKNOD it can make the host's disk and read and write it",
			"take --privileged away and pass the devices it needs one by one", evidence,
		})
		return
	}
	other := false
	for _, d := range j.Devices {
		if slices.Contains(usual(), d) {
			continue
		}
		other = true
		sev, why := Medium, "what drives the device is within reach"
		switch {
		case strings.HasPrefix(d, "b "):
			sev, why = j.pick(High, Medium), "it can read and write a disk under the file system"
		case strings.HasPrefix(d, "c 1:1 "), strings.HasPrefix(d, "c 1:2 "), strings.HasPrefix(d, "c 1:4 "):
			sev, why = j.pick(Critical, Medium), "it is the machine's memory or ports"
		}
		j.r.Findings = append(j.r.Findings, Finding{sev, "may open device " + d, why, "do not pass the device if it is not needed", evidence})
	}
	if !other {
		j.holds("no devices beside those that everybody has")
	}
}

// limits judges what lets it starve the host.
func (j *judge) limits() {
	for _, l := range []struct{ resource, what, closing string }{
		{"memory", "memory", "set one: --memory, resources.limits.memory"},
		{"pids", "processes", "set one: --pids-limit, podPidsLimit of kubelet"},
	} {
		b, ok := j.Bound(l.resource)
		if !ok || b.Group == "" {
			continue
		}
		if b.SetBy == "" {
			j.r.Findings = append(j.r.Findings, Finding{
				Low, "has no limit of " + l.what, "it can take what the host and all others need", l.closing, "cgroup " + b.Group + " and all above",
			})
			continue
		}
		j.holds("at most " + b.Limit + of(l.resource))
	}
}

func of(resource string) string {
	if resource == "memory" {
		return " of memory"
	}
	return ""
}

// twins judges users that it has in common with containers of other namespaces.
func twins(j *judge) {
	if len(j.Twins) == 0 {
		return
	}
	names := j.Twins
	if len(names) > 3 {
		names = append(slices.Clone(names[:3]), "others")
	}
	j.add(Low, text{"its users are those of " + ink.List(names) + " outside", "after an escape each could touch the files and processes of the other", "give each a range of users of its own"}, "uid_map")
}
