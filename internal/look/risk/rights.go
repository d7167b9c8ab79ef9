package risk

import (
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/ink"
)

func seccompMode(mode int) string {
	switch mode {
	case 0:
		return "none"
	case 1:
		return "strict"
	}
	return "filter"
}

// user judges who its root is outside.
func (j *judge) user() {
	uid := strconv.FormatUint(uint64(j.UID), 10)
	root, known := j.RootOutside()
	switch {
	case !j.ruled && known && root == 0:
		j.add(High, text{"has a user namespace whose root is the host's root", "what belongs to root on the host belongs to it", "map root inside to a user that is nobody on the host"}, "uid_map")
	case !j.ruled:
		j.holds("a user namespace: its rights end at its own edge, outside it is user " + uid)
	case j.UID == 0:
		j.add(Medium, text{"runs as the host's root", "root inside is root outside; every other wall is the last one", "give it a user namespace (carob run does; hostUsers: false; podman --userns=auto), or run it as another user"}, "status")
	default:
		j.add(Low, text{"has no user namespace", "it runs as user " + uid + " of the host; a setuid program in it is root on the host", "give it a user namespace"}, "ns/user")
	}
}

// right is a capability that reaches beyond a container, and what it allows.
type right struct {
	name string
	sev  Severity
	why  string
}

// rights are told from the gravest on. What Docker gives everybody is not among them.
func rights() []right {
	return []right{
		{"sys_module", Critical, "it can load code into the kernel"},
		{"sys_admin", Critical, "it can mount file systems and change those of the host"},
		{"sys_rawio", Critical, "it can write to the machine's memory and ports"},
		{"sys_ptrace", High, "it can read and change every process that it sees"},
		{"dac_read_search", High, "it can open any file of a file system by number, past its root (open_by_handle_at(2))"},
		{"mac_admin", High, "it can change what security modules enforce"},
		{"mac_override", High, "security modules do not bind it"},
		{"sys_boot", High, "it can restart the machine or load another kernel"},
		{"bpf", High, "it can load programs into the kernel"},
		{"perfmon", Medium, "it can watch what the kernel and others do"},
		{"checkpoint_restore", Medium, "it can look into other processes"},
		{"syslog", Medium, "it can read addresses of the kernel"},
		{"sys_time", Medium, "it can set the machine's clock"},
		{"audit_control", Medium, "it can switch auditing off"},
		{"net_admin", Low, "it can change its network's addresses, routes and rules"},
		{"sys_resource", Low, "it can go beyond limits (setrlimit(2), quotas)"},
	}
}

func (j *judge) capabilities() {
	set := j.Process.Caps.Effective
	if !j.ruled {
		if set != 0 {
			j.holds("its capabilities count only in its own user namespace")
		}
		return
	}
	if facts.Every(set) {
		j.add(Critical, text{"has every capability", "it is privileged: it can mount, load code into the kernel, open every device", "take --privileged away and give the capabilities it needs one by one"}, "status")
		return
	}
	for _, r := range rights() {
		if !facts.Has(set, r.name) {
			continue
		}
		sev := r.sev
		switch {
		case r.name == "sys_ptrace" && j.Shares(look.PID):
			sev = Critical
		case r.name == "net_admin" && j.Shares(look.Net):
			sev = High
		}
		j.add(sev, text{"has CAP_" + strings.ToUpper(r.name), r.why, "drop it: --cap-drop " + r.name + ", securityContext.capabilities.drop"}, "status")
	}
	if set == 0 {
		j.holds("no capabilities")
	}
}

func (j *judge) seccomp() {
	switch j.Process.Seccomp {
	case 0:
		j.add(j.pick(High, Medium), text{"has no seccomp filter", "every system call of the kernel, old bugs included, is within reach", "leave the default profile on: no seccomp=unconfined, seccompProfile: RuntimeDefault"}, "status")
	case 1:
		j.holds("seccomp: only read, write and exit")
	default:
		j.holds(ink.Count(max(j.Process.Filters, 1), "seccomp filter", "seccomp filters"))
	}
}

func (j *judge) newPrivileges() {
	if j.Process.NoNewPrivs {
		j.holds("no_new_privs: setuid programs give it nothing")
		return
	}
	why := "a setuid program in it can get capabilities of the bounding set that it has not now"
	if j.Process.Caps.Bounding&^j.Process.Caps.Effective == 0 {
		why = "a setuid program in it can change its user"
	}
	j.add(Low, text{"has no no_new_privs", why, "--security-opt no-new-privileges, allowPrivilegeEscalation: false"}, "status")
}

func (j *judge) label() {
	name, mode, _ := strings.Cut(j.Label, " ")
	switch {
	case j.Label == "" || name == "unconfined" || strings.Contains(name, ":unconfined_") || strings.Contains(name, "spc_t"):
		j.add(Low, text{"no security module confines it", "AppArmor or SELinux would be one more wall", "use a kernel with one and leave the engine's default profile on"}, "attr/current")
	case mode == "(complain)":
		j.add(Low, text{"its AppArmor profile only complains", "nothing is refused by " + name, "set the profile to enforce"}, "attr/current")
	default:
		j.holds("label " + j.Label)
	}
}
