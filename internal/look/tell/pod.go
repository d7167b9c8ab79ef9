package tell

import (
	"slices"
	"strconv"

	"carob/internal/look"
	"carob/internal/look/facts"
)

// pod explains what containers have in common, as the seed of the whole question has
// it: half fused, with a common parent among control groups.
func (t *teller) pod(s *facts.Sheet) {
	t.chapter("What it is", "它是什么")
	t.whatPod(s)
	for i := range s.Members {
		t.member(&s.Members[i])
	}
	t.chapter("What its containers share", "它的容器共享什么")
	t.shared(s)
	t.users(&s.Members[0])
	t.chapter("What each has to itself", "每个容器独自拥有什么")
	t.apart(s)
	t.chapter("What they may use: control groups", "它们能用多少：cgroup")
	t.groups(s)
	if len(s.Members) > 1 {
		t.chapter("So", "所以")
		t.sum(s)
	}
}

func (t *teller) whatPod(s *facts.Sheet) {
	var names []string
	for i := range s.Members {
		names = append(names, short(&s.Members[i]))
	}
	by, p := "", s.Thing.Pod
	if p.Engine != "" {
		by = t.pick(" that "+p.Engine+" runs", "由 "+p.Engine+" 运行的 ")
	}
	from := evidence{p.From}
	if p.NameFrom != "" && p.NameFrom != p.From {
		from = append(from, p.NameFrom)
	}
	t.say(from, "%[1]s is a pod%[2]s with %[3]s: %[4]s.", "%[1]s 是一个%[2]sPod，里面有 %[3]s：%[4]s。", s.Thing.Name, by,
		t.count(len(names), "container", "containers", "个容器"), t.list(names))
	if p.Sandbox == 0 {
		t.say(evidence{p.From}, "No process holds its namespaces but those of the containers: they live by mounts or open files.",
			"除了容器自己的进程，没有别的进程维持它的命名空间：它们靠挂载或打开的文件存活。")
		return
	}
	t.say(evidence{"/proc/" + strconv.Itoa(p.Sandbox) + "/cmdline"}, "Its sandbox is process %d (%s): it holds the namespaces that the containers share, and does none of their work.",
		"它的沙盒是进程 %d（%s）：它维持容器共享的命名空间，自己不做容器的工作。", p.Sandbox, command(&s.Process))
}

func short(s *facts.Sheet) string {
	if s.Thing.Container.Name != "" {
		return s.Thing.Container.Name
	}
	return look.Short(s.Thing.Container.ID)
}

func (t *teller) member(s *facts.Sheet) {
	p := &s.Process
	inside := ""
	if n := len(p.NSpid); n > 1 {
		inside = t.pick(", number "+strconv.Itoa(p.NSpid[n-1])+" inside", "，在里面的编号是 "+strconv.Itoa(p.NSpid[n-1]))
	}
	t.say(evidence{s.File("cmdline"), s.File("status") + ": NSpid"}, "%s is process %d (%s)%s.", "%s 是进程 %d（%s）%s。", short(s), p.PID, command(p), inside)
}

// split sorts kinds by whether all containers are in one namespace.
func split(s *facts.Sheet) (one, host, several []look.Kind) {
	for _, k := range look.Kinds() {
		first := s.Members[0].Process.NS[k]
		same := !slices.ContainsFunc(s.Members, func(m facts.Sheet) bool { return m.Process.NS[k] != first })
		switch {
		case first == 0 && same:
		case !same || len(s.Members) == 1 && len(s.With[k]) == 0 && first != s.Process.NS[k] && first != s.Host[k]:
			several = append(several, k)
		case first == s.Host[k]:
			host = append(host, k)
		default:
			one = append(one, k)
		}
	}
	return one, host, several
}

// proofs are the links of all containers for some kinds.
func proofs(s *facts.Sheet, kinds []look.Kind) evidence {
	var out evidence
	for _, k := range kinds {
		for i := range s.Members {
			out = append(out, links(&s.Members[i], []look.Kind{k})...)
		}
	}
	return out
}

func (t *teller) shared(s *facts.Sheet) {
	one, host, _ := split(s)
	if len(one) == 0 {
		t.say(proofs(s, []look.Kind{look.Net, look.IPC, look.UTS}), "They share no namespace that is not the host's.", "除了宿主机的命名空间，它们没有共享任何命名空间。")
	} else {
		t.say(proofs(s, one), "They are in the same %s: the numbers are equal.", "它们处在同一个 %s 里：编号相同。", t.meanings(one))
	}
	for _, c := range []struct {
		kind   look.Kind
		en, zh string
	}{
		{look.Net, "So they reach each other on localhost, have one address, and a port can be taken once.", "所以它们可以通过 localhost 互相通信，共用一个地址，同一个端口只能被占用一次。"},
		{look.IPC, "So they can talk through shared memory and message queues.", "所以它们可以通过共享内存和消息队列通信。"},
		{look.UTS, "So they have one hostname.", "所以它们的主机名相同。"},
		{look.PID, "So they see each other's processes and can signal them.", "所以它们能看到彼此的进程，并能向其发送信号。"},
	} {
		if slices.Contains(one, c.kind) && len(s.Members) > 1 {
			t.say(nil, c.en, c.zh)
		}
	}
	if len(one) > 0 && s.Thing.Pod.Sandbox != 0 {
		t.say(evidence{"lsns(8)"}, "lsns lists such a namespace once, under the process it saw first, which hides that others are in it.",
			"lsns 只把这样的命名空间列在它最先看到的进程名下一次，看不出还有别的进程在里面。")
	}
	if len(host) > 0 {
		t.say(proofs(s, host), "They are in the host's %s.", "它们与宿主机共用 %s。", t.meanings(host))
	}
}

func (t *teller) apart(s *facts.Sheet) {
	_, _, several := split(s)
	if len(several) == 0 {
		t.say(proofs(s, []look.Kind{look.Mnt, look.PID}), "Nothing: they are in the same namespaces throughout.", "没有：它们的命名空间完全相同。")
		return
	}
	t.say(proofs(s, several), "Each has its own %s.", "每个容器都有自己的 %s。", t.meanings(several))
	if slices.Contains(several, look.PID) && len(s.Members) > 1 {
		t.say(nil, "So none sees the processes of another.", "所以它们看不到彼此的进程。")
	}
	if slices.Contains(several, look.Mnt) && len(s.Members) > 1 {
		t.say(nil, "So each has its own files, from its own image.", "所以每个容器都有来自自己镜像的文件。")
	}
}

// groups says where the pod is among control groups and what bounds each container.
func (t *teller) groups(s *facts.Sheet) {
	if s.Group == "" {
		t.limits(&s.Members[0])
		return
	}
	parent := len(s.Members) > 1 || s.Members[0].Group != s.Group
	if parent {
		t.say(evidence{"/proc/" + strconv.Itoa(s.Members[0].Process.PID) + "/cgroup"}, "The pod has a control group of its own, %s, and each container one below it.",
			"Pod 有自己的 cgroup：%s，每个容器在它下面各有一个。", s.Group)
		for _, r := range []string{"memory", "cpu", "pids"} {
			if b, ok := s.Bound(r); ok && b.SetBy != "" {
				t.say(evidence{b.File}, "Together their %s is limited to %s.", "它们的%s合计上限是 %s。", t.resource(r), t.amount(b))
			}
		}
	}
	for i := range s.Members {
		m := &s.Members[i]
		for _, r := range []string{"memory", "cpu", "pids"} {
			if b, ok := m.Bound(r); ok && b.SetBy != "" && b.SetBy == b.Group {
				t.say(evidence{b.File}, "%s: its %s is limited to %s.", "%s：它的%s上限是 %s。", short(m), t.resource(r), t.amount(b))
			}
		}
	}
}

// sum is the answer to what a pod is, for this one.
func (t *teller) sum(s *facts.Sheet) {
	one, _, several := split(s)
	t.say(nil, "A pod is neither one machine nor a heap of containers: here %s with %s in common and %s apart, under one control group.",
		"Pod 既不是一台微型机器，也不是一堆互不相干的容器：这里是 %s，共享 %s，各自拥有 %s，并有一个共同的父 cgroup。",
		t.count(len(s.Members), "container", "containers", "个容器"), t.kinds(one), t.kinds(several))
}

func (t tongue) kinds(all []look.Kind) string {
	var out []string
	for _, k := range all {
		out = append(out, k.String())
	}
	if len(out) == 0 {
		return t.pick("nothing", "（无）")
	}
	return t.list(out)
}
