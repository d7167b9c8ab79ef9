package tell

import (
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/group"
	"carob/internal/look/ink"
	"carob/internal/look/mounts"
)

// container explains a container, a group, or a process.
func (t *teller) container(s *facts.Sheet) {
	t.chapter("What it is", "它是什么")
	t.what(s)
	t.number(s)
	t.chapter("What it sees: namespaces", "它看到什么：命名空间")
	t.namespaces(s)
	t.users(s)
	t.chapter("Its files", "它的文件")
	t.files(s)
	t.chapter("What it may use: control groups", "它能用多少：cgroup")
	t.limits(s)
	t.chapter("What it may do", "它能做什么")
	t.rights(s)
}

// host explains what all others are compared with.
func (t *teller) host(s *facts.Sheet) {
	t.chapter("What it is", "它是什么")
	t.say(evidence{"/proc"}, "The host itself: of its processes %s in no container.", "这是宿主机本身：有 %s不在任何容器里。",
		t.count(len(s.Thing.PIDs), "is", "are", "个进程"))
	t.say(evidence{s.HostFrom}, "Its namespaces are those that the kernel made first; what is in one of them is not isolated in that respect.",
		"它的命名空间是内核最先创建的；处在其中的进程在那一方面没有隔离。")
	t.chapter("What it may use: control groups", "它能用多少：cgroup")
	t.limits(s)
}

// what says what the kernel knows of it: processes.
func (t *teller) what(s *facts.Sheet) {
	p := &s.Process
	c := s.Thing.Container
	at := s.Thing.Name
	switch {
	case s.Thing.Is == look.ThingProcess && c == nil:
		t.say(evidence{s.File("cgroup")}, "%s (%s) is a process in no container.", "%s（%s）是一个不在任何容器里的进程。", at, command(p))
		return
	case s.Thing.Is == look.ThingProcess:
		t.say(evidence{c.From}, "%s (%s) is a process of %s.", "%s（%s）是 %s 里的一个进程。", at, command(p), t.ofContainer(c))
		return
	case c.Class == look.ClassGroup:
		t.say(evidence{c.From}, "%s is %s in namespaces of their own that no container engine runs.", "%s 是 %s，处在自己的命名空间里，但没有哪个容器引擎在管理它。",
			at, t.count(len(s.Thing.PIDs), "process", "processes", "个进程"))
		return
	}
	from := evidence{c.From}
	if c.NameFrom != "" && c.NameFrom != c.From {
		from = append(from, c.NameFrom)
	}
	by := t.pick("", "")
	if c.Engine != "" {
		by = t.pick(" that "+c.Engine+" runs", "由 "+c.Engine+" 运行的")
	}
	t.say(from, "%[1]s is a container%[2]s. The kernel knows no containers: there is process %[3]d (%[4]s), and what it may see, use and do.",
		"%[1]s 是一个%[2]s容器。内核并不认识“容器”：有的只是进程 %[3]d（%[4]s），以及它能看到、能用、能做的东西。", at, by, p.PID, command(p))
	if s.Thing.Pod != nil && !s.Thing.Pod.Solo {
		t.say(evidence{c.From}, "It is one of the containers of pod %s.", "它是 Pod %s 里的容器之一。", s.Thing.Pod.Called())
	}
}

func (t tongue) ofContainer(c *look.Container) string {
	name := c.Name
	if name == "" {
		name = look.Short(c.ID)
	}
	return t.pick("container "+name, "容器 "+name)
}

// number says what its first process is called inside and who its parent is.
func (t *teller) number(s *facts.Sheet) {
	p := &s.Process
	if n := len(p.NSpid); n > 1 {
		t.say(evidence{s.File("status") + ": NSpid"}, "On the host it is process %d, inside it has number %d.", "在宿主机上它是进程 %d，在里面它的编号是 %d。", p.PID, p.NSpid[n-1])
	}
	if n := len(s.Thing.PIDs); n > 1 && s.Thing.Is == look.ThingContainer {
		t.say(evidence{s.File("cgroup")}, "%s belong to it.", "属于它的有 %s。", t.count(n, "process", "processes", "个进程"))
	}
}

// meaning is what a kind of namespace holds, for people.
func (t tongue) meaning(k look.Kind) string {
	switch k {
	case look.Mnt:
		return t.pick("which file systems are mounted where", "挂载表")
	case look.UTS:
		return t.pick("the host's name", "主机名和域名")
	case look.IPC:
		return t.pick("shared memory and message queues", "共享内存和消息队列")
	case look.PID:
		return t.pick("the processes that can be seen, and their numbers", "能看到的进程及其编号")
	case look.Net:
		return t.pick("network devices, addresses and ports", "网络设备、地址和端口")
	case look.User:
		return t.pick("users and rights", "用户和权限")
	case look.Cgroup:
		return t.pick("where in the tree of control groups the view begins", "cgroup 层次结构的视图")
	}
	return t.pick("clocks", "时钟")
}

func (t tongue) meanings(kinds []look.Kind) string {
	var out []string
	for _, k := range kinds {
		out = append(out, k.String()+t.pick(" (", "（")+t.meaning(k)+t.pick(")", "）"))
	}
	return t.list(out)
}

// links are the evidence of namespaces.
func links(s *facts.Sheet, kinds []look.Kind) evidence {
	var out evidence
	for _, k := range kinds {
		out = append(out, s.File("ns/"+k.String())+" → "+look.Namespace{Kind: k, Inode: s.Process.NS[k]}.String())
	}
	return out
}

// namespaces says which it has to itself, which it shares with whom, which are the
// host's.
func (t *teller) namespaces(s *facts.Sheet) {
	if !s.Process.NS.Known() {
		t.say(evidence{s.File("ns")}, "Its namespaces may not be seen; as root they may.", "看不到它的命名空间；以 root 身份运行就能看到。")
		return
	}
	var own, host []look.Kind
	var order []string
	shared := map[string][]look.Kind{}
	for _, k := range look.Kinds() {
		switch with := strings.Join(s.With[k], "\n"); {
		case s.Process.NS[k] == 0:
		case s.Shares(k):
			host = append(host, k)
		case with == "":
			own = append(own, k)
		default:
			if shared[with] == nil {
				order = append(order, with)
			}
			shared[with] = append(shared[with], k)
		}
	}
	if len(own) > 0 {
		t.say(links(s, own), "It has to itself: %s.", "它独自拥有：%s。", t.meanings(own))
	}
	for _, with := range order {
		t.say(links(s, shared[with]), "With %[2]s it shares %[1]s.", "它与 %[2]s 共享 %[1]s。", t.meanings(shared[with]), t.list(strings.Split(with, "\n")))
	}
	if len(host) > 0 {
		t.say(links(s, host), "It is in the host's %s: there it is not isolated at all.", "它与宿主机共用 %s：在这些方面没有任何隔离。", t.meanings(host))
	}
}

// users says who its root is outside.
func (t *teller) users(s *facts.Sheet) {
	root, known := s.RootOutside()
	from := evidence{s.File("uid_map")}
	switch {
	case s.Users == nil:
	case s.HostUsers():
		t.say(from, "It has no user namespace: root inside is root of the host. Beware!", "它没有自己的用户命名空间：里面的 root 就是宿主机的 root。谨防！")
	case known:
		t.say(from, "Root inside is user %d outside, who has no rights on the host.", "里面的 root 在外面是用户 %d，在宿主机上没有任何特权。", root)
	default:
		t.say(from, "Its root is nobody outside.", "它的 root 在外面不对应任何用户。")
	}
	if uid, ok := s.Inside(); ok && uid != 0 {
		t.say(evidence{s.File("status") + ": Uid"}, "It runs as user %d inside.", "在里面它以用户 %d 的身份运行。", uid)
	}
}

// files says where its root directory comes from, and what of the host it sees.
func (t *teller) files(s *facts.Sheet) {
	m, ok := mounts.Over(s.Mounts, "/")
	if !ok {
		t.say(evidence{s.File("mountinfo")}, "What it sees mounted could not be read.", "无法读取它的挂载表。")
		return
	}
	line := func(m mounts.Mount) string { return s.File("mountinfo") + ":" + strconv.Itoa(m.Line) }
	switch p, is := s.IsHostPath(m); {
	case is:
		t.say(evidence{line(m)}, "Its root directory is the host's %s.", "它的根目录就是宿主机的 %s。", p)
	case m.Type == "overlay":
		t.say(evidence{line(m)}, "Its root directory is an overlay: %s of its image below, and one of its own on top that takes what it writes.",
			"它的根目录是 overlay：下面是镜像的 %s，最上面是它自己的一层，写入的内容都在那里。", t.count(layers(m), "layer", "layers", "层"))
	default:
		t.say(evidence{line(m)}, "Its root directory is a file system of its own (%s).", "它的根目录是自己的文件系统（%s）。", m.Type)
	}
	var from evidence
	var shown []string
	for _, m := range s.Mounts {
		if p, is := s.IsHostPath(m); is && m.Point != "/" && !strings.HasPrefix(m.Point, "/proc/") && !strings.HasPrefix(m.Point, "/dev/") && !s.Shares(look.Mnt) {
			shown = append(shown, m.Point)
			from = append(from, line(m)+": "+p+" → "+m.Point)
		}
	}
	if len(shown) > 0 {
		t.say(from, "Of the host's files it sees %s.", "它能看到的宿主机文件：%s。", t.list(shown))
	}
}

// layers counts the directories under an overlay (Documentation/filesystems/overlayfs.rst).
func layers(m mounts.Mount) int {
	n := 0
	for _, o := range m.Super {
		switch {
		case strings.HasPrefix(o, "lowerdir+="):
			n++
		case strings.HasPrefix(o, "lowerdir="):
			n += 1 + strings.Count(o, ":")
		}
	}
	return n
}

// limits says which limits hold and who sets them.
func (t *teller) limits(s *facts.Sheet) {
	if s.Group == "" {
		t.say(evidence{"/proc/self/mountinfo"}, "Its control group is not known here.", "这里不知道它的 cgroup。")
		return
	}
	t.say(evidence{s.File("cgroup")}, "It is in the control group %s.", "它在 cgroup %s 里。", s.Group)
	var free []string
	for _, r := range []string{"memory", "cpu", "pids"} {
		b, ok := s.Bound(r)
		switch {
		case !ok || b.Group == "":
		case b.SetBy == "":
			free = append(free, t.resource(r))
		default:
			t.bound(s, b)
		}
	}
	if len(free) > 0 {
		t.say(evidence{s.File("cgroup") + ": " + s.Group + t.pick(" and all above", " 及其所有上层")}, "Nothing limits its %s but the machine.", "它的%s没有限制，除了机器本身。", t.list(free))
	}
}

func (t *teller) bound(s *facts.Sheet, b group.Bound) {
	by := t.pick("its own group sets that", "由它自己的 cgroup 设定")
	if b.SetBy != b.Group {
		by = t.pick("the group "+b.SetBy+" above it sets that", "由上层的 "+b.SetBy+" 设定")
	}
	t.say(evidence{b.File}, "Its %s is limited to %s; %s.", "它的%s上限是 %s，%s。", t.resource(b.Resource), t.amount(b), by)
}

func (t tongue) amount(b group.Bound) string {
	b.Limit = strings.TrimSuffix(b.Limit, " tasks") // the sentence says of what
	if Language(t) == Chinese {
		b.Limit = strings.NewReplacer(" CPUs", " 个 CPU", " CPU", " 个 CPU").Replace(b.Limit)
	}
	return b.Limit
}

func (t tongue) resource(name string) string {
	switch name {
	case "memory":
		return t.pick("memory", "内存")
	case "cpu":
		return t.pick("CPU time", "CPU 时间")
	}
	return t.pick("number of tasks", "任务数")
}

// rights says what stands between it and the kernel.
func (t *teller) rights(s *facts.Sheet) {
	p := &s.Process
	caps := facts.CapNames(p.Caps.Effective)
	from := evidence{s.File("status") + ": CapEff"}
	switch {
	case len(caps) == 0:
		t.say(from, "It has no capabilities.", "它没有任何 capability。")
	case facts.Every(p.Caps.Effective):
		t.say(from, "It has every capability there is.", "它拥有全部 capability。")
	default:
		t.say(from, "Of root's rights it has %s: %s.", "root 的权限里它有 %s：%s。", t.count(len(caps), "capability", "capabilities", "项"), strings.Join(caps, t.pick(", ", "、")))
	}
	from = evidence{s.File("status") + ": Seccomp, Seccomp_filters"}
	switch p.Seccomp {
	case 0:
		t.say(from, "No seccomp filter stands before the kernel: every system call reaches it.", "没有 seccomp 过滤器：每个系统调用都能到达内核。")
	case 1:
		t.say(from, "Seccomp leaves it read, write and exit.", "seccomp 只允许它 read、write 和 exit。")
	default:
		t.say(from, "What system calls reach the kernel is decided by %s.", "由 %s决定哪些系统调用能到达内核。", t.count(max(p.Filters, 1), "seccomp filter", "seccomp filters", "个 seccomp 过滤器"))
	}
	if p.NoNewPrivs {
		t.say(evidence{s.File("status") + ": NoNewPrivs"}, "Setuid programs give it no new rights.", "setuid 程序不会给它新的权限。")
	}
	if s.Label != "" {
		t.say(evidence{s.File("attr/current")}, "A security module knows it as %s.", "安全模块给它的标签是 %s。", ink.Safe(s.Label))
	}
}
