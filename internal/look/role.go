package look

import (
	"path"
	"strings"
)

// shim is what a runtime's own process says of the container it looks after.
type shim struct {
	role, engine string
	// id and name are the container's, pod the beginning of its pod's ID.
	id, name, pod string
}

// roles are the programs that run containers, by the base name of the program. The
// kernel's short name has at most 15 bytes.
var roles = map[string]shim{
	"carob-pod":               {role: "carob-pod", engine: Carob},
	"containerd-shim":         {role: "containerd-shim", engine: Containerd},
	"containerd-shim-runc-v1": {role: "containerd-shim", engine: Containerd},
	"containerd-shim-runc-v2": {role: "containerd-shim", engine: Containerd},
	"conmon":                  {role: "conmon", engine: Podman},
	"conmonrs":                {role: "conmonrs", engine: CRIO},
	"containerd":              {role: "containerd", engine: Containerd},
	"dockerd":                 {role: "dockerd", engine: Docker},
	"docker-proxy":            {role: "docker-proxy", engine: Docker},
	"crio":                    {role: "crio", engine: CRIO},
	"podman":                  {role: "podman", engine: Podman},
	"rootlessport":            {role: "rootlessport", engine: Podman},
	"slirp4netns":             {role: "slirp4netns"},
	"pasta":                   {role: "pasta"},
	"pasta.avx2":              {role: "pasta"},
	"kubelet":                 {role: "kubelet"},
	"lxc-start":               {role: "lxc-start", engine: LXC},
	"systemd-nspawn":          {role: "systemd-nspawn", engine: Nspawn},
	"buildkitd":               {role: "buildkitd"},
}

// roleOf says whether a process is a runtime's own. A program inside a container may
// call itself conmon: only a process whose cgroup is no container's is asked, and
// one that has a number in no deeper pid namespace.
func roleOf(p *Process) (shim, bool) {
	if len(p.Args) == 0 || len(p.NSpid) > 1 {
		return shim{}, false
	}
	words := p.Args
	if len(words) == 1 {
		words = strings.Fields(words[0]) // a title: words in one string
	}
	if len(words) == 0 {
		return shim{}, false
	}
	program := path.Base(words[0])
	if program == Carob && len(words) > 1 && words[1] == "serve" {
		return shim{role: "carob daemon", engine: Carob}, true
	}
	s, ok := roles[program]
	if !ok {
		return shim{}, false
	}
	s.read(words[1:])
	return s, true
}

func (s *shim) read(words []string) {
	switch s.role {
	case "carob-pod":
		if len(words) > 0 {
			s.pod = words[0]
		}
	case "containerd-shim":
		s.id = option(words, "-id")
		if option(words, "-namespace") == "moby" {
			s.engine = Docker
		}
	case "conmon":
		s.id, s.name = option(words, "-c", "--cid"), option(words, "-n", "--name")
		if strings.Contains(option(words, "-p", "--container-pidfile", "-b", "--bundle"), "/crio/") {
			s.engine = CRIO
		}
		if s.engine == CRIO {
			s.name = "" // k8s_NAME_POD_NAMESPACE_UID_ATTEMPT is taken apart where names are learned
		}
	}
}

// option is the word behind one of these flags, or what follows its "=".
func option(words []string, names ...string) string {
	for i, w := range words {
		for _, n := range names {
			if w == n && i+1 < len(words) {
				return words[i+1]
			}
			if v, ok := strings.CutPrefix(w, n+"="); ok {
				return v
			}
		}
	}
	return ""
}
