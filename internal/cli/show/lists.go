package show

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"

	"carob/internal/api"
	"carob/internal/lifecycle"
	"carob/internal/plan/port"
	"carob/internal/status"
)

const shortID = 12

// Short is the beginning of an ID that people read.
func Short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(len(id), shortID)]
}

// Title is the name a container is found by: its own for a solo container, else
// POD/NAME.
func Title(c status.Container) string {
	if c.PodName == "" || c.PodName == c.Name {
		return c.Name
	}
	return c.PodName + "/" + c.Name
}

// ContainerRow is a container as `ps --format` sees it, with Docker's names.
type ContainerRow struct {
	ID, Names, Image, Command, CreatedAt, RunningFor, Status, State, Labels, Mounts, Pod, Owner, Networks, Ports string
	Pid                                                                                                          int
}

// Containers shows containers as `ps` does.
func Containers(now time.Time, noTrunc bool) Sheet[Listed] {
	id, command := Short, func(c Listed) string { return cut(quote(c.Command), 24) }
	if noTrunc {
		id, command = func(s string) string { return s }, func(c Listed) string { return quote(c.Command) }
	}
	age := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) + " ago" }
	return Sheet[Listed]{
		Columns: []Column[Listed]{
			{Head: "CONTAINER ID", Text: func(c Listed) string { return id(c.ID) }},
			{Head: "IMAGE", Text: func(c Listed) string { return c.Image }},
			{Head: "COMMAND", Text: command},
			{Head: "CREATED", Text: func(c Listed) string { return age(c.CreatedAt) }},
			{Head: "STATUS", Text: func(c Listed) string { return Status(c.Container, now) }},
			{Head: "PORTS", Text: func(c Listed) string { return port.Text(c.Ports) }},
			{Head: "NETWORKS", Wide: true, Text: func(c Listed) string { return strings.Join(c.Networks, ",") }},
			{Head: "PID", Wide: true, Text: func(c Listed) string { return number(c.Pid) }},
			{Head: "POD ID", Wide: true, Text: func(c Listed) string { return id(c.PodID) }},
			{Head: "OWNER", Text: func(c Listed) string { return c.Owner }},
			{Head: "CGROUP", Wide: true, Text: func(c Listed) string { return c.Cgroup }},
			{Head: "NAMES", Text: func(c Listed) string { return Title(c.Container) }},
		},
		Name: func(c Listed) string { return Title(c.Container) },
		ID:   func(c Listed) string { return id(c.ID) },
		Row: func(c Listed) any {
			return ContainerRow{
				ID: id(c.ID), Names: Title(c.Container), Image: c.Image, Command: command(c), CreatedAt: c.CreatedAt.Format(timeLayout),
				RunningFor: age(c.CreatedAt), Status: Status(c.Container, now), State: State(c.Container), Labels: words(c.Spec.Labels),
				Mounts: targets(c.Container), Pod: c.PodName, Owner: c.Owner, Networks: strings.Join(c.Networks, ","),
				Ports: port.Text(c.Ports), Pid: c.Pid,
			}
		},
	}
}

const timeLayout = "2006-01-02 15:04:05 -0700 MST"

// State is Docker's word for a container's state.
func State(c status.Container) string {
	if c.Paused {
		return "paused"
	}
	return string(c.State)
}

// Status is a container's state as a sentence, Docker's way; an operation under way
// says at which step it is, and for how long.
func Status(c status.Container, now time.Time) string {
	var s string
	switch c.State {
	case lifecycle.ContainerRunning:
		s = "Up " + units.HumanDuration(now.Sub(c.StartedAt))
		if c.Paused {
			s += " (Paused)"
		}
	case lifecycle.ContainerExited:
		s = fmt.Sprintf("Exited (%d) %s ago", c.ExitCode, units.HumanDuration(now.Sub(c.FinishedAt)))
		if c.Reason != "" && c.Reason != "Completed" && c.Reason != "Error" {
			s += ", " + c.Reason
		}
	case lifecycle.ContainerCreated:
		s = "Created"
	default:
		s = "Creating"
	}
	return s + step(c.Step, c.StepSince, now)
}

func step(what string, since, now time.Time) string {
	if what == "" {
		return ""
	}
	return fmt.Sprintf(" [%s, %s]", what, now.Sub(since).Round(time.Second/10))
}

func targets(c status.Container) string {
	var all []string
	for _, m := range c.Spec.Mounts {
		all = append(all, m.Target)
	}
	return strings.Join(all, ",")
}

func quote(argv []string) string { return "\"" + strings.Join(argv, " ") + "\"" }

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func words(m map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, k+"="+m[k])
	}
	return strings.Join(all, ",")
}

// PodRow is a pod as `pods --format` sees it.
type PodRow struct {
	ID, Name, Namespace, State, Status, Containers, Owner, CreatedAt, Age, IPs, Labels string
	Pid                                                                                int
}

// Pods shows pods.
func Pods(now time.Time, noTrunc bool) Sheet[status.Pod] {
	id := Short
	if noTrunc {
		id = func(s string) string { return s }
	}
	count := func(p status.Pod) string { return fmt.Sprint(len(p.Containers)) }
	state := func(p status.Pod) string { return string(p.State) + step(p.Step, p.StepSince, now) }
	age := func(p status.Pod) string { return units.HumanDuration(now.Sub(p.CreatedAt)) }
	return Sheet[status.Pod]{
		Columns: []Column[status.Pod]{
			{Head: "POD ID", Text: func(p status.Pod) string { return id(p.ID) }},
			{Head: "NAMESPACE", Text: func(p status.Pod) string { return p.Namespace }},
			{Head: "NAME", Text: func(p status.Pod) string { return p.Name }},
			{Head: "STATE", Text: state},
			{Head: "CONTAINERS", Text: count},
			{Head: "AGE", Text: age},
			{Head: "OWNER", Text: func(p status.Pod) string { return p.Spec.Owner }},
			{Head: "PID", Wide: true, Text: func(p status.Pod) string { return number(p.Pid) }},
			{Head: "IPS", Wide: true, Text: func(p status.Pod) string { return strings.Join(p.IPs, ",") }},
			{Head: "USERNS", Wide: true, Text: userns},
			{Head: "CGROUP", Wide: true, Text: func(p status.Pod) string { return p.Cgroup }},
		},
		Name: func(p status.Pod) string { return strings.TrimPrefix(p.Namespace+"/"+p.Name, "default/") },
		ID:   func(p status.Pod) string { return id(p.ID) },
		Row: func(p status.Pod) any {
			return PodRow{
				ID: id(p.ID), Name: p.Name, Namespace: p.Namespace, State: string(p.State), Status: state(p),
				Containers: count(p), Owner: p.Spec.Owner, CreatedAt: p.CreatedAt.Format(timeLayout), Age: age(p),
				IPs: strings.Join(p.IPs, ","), Labels: words(p.Spec.Labels), Pid: p.Pid,
			}
		},
	}
}

func userns(p status.Pod) string {
	if p.UserMapping.Size == 0 {
		return "host"
	}
	return fmt.Sprintf("%d+%d", p.UserMapping.HostID, p.UserMapping.Size)
}

// ImageRow is one name of an image as `images --format` sees it.
type ImageRow struct {
	ID, Repository, Tag, Digest, CreatedAt, CreatedSince, Size string
}

// Image is an image under one of its names.
type Image struct {
	Name string `json:"name"`
	api.Image
}

// ByName lists images once per name, as `images` does; one without a name once.
func ByName(all []api.Image) []Image {
	list := []Image{}
	for _, m := range all {
		for _, n := range m.Names {
			list = append(list, Image{n, m})
		}
		if len(m.Names) == 0 {
			list = append(list, Image{"", m})
		}
	}
	return list
}

// Images shows images.
func Images(now time.Time, noTrunc bool) Sheet[Image] {
	id := Short
	if noTrunc {
		id = func(s string) string { return s }
	}
	repo := func(i Image) string { r, _ := SplitName(i.Name); return r }
	tag := func(i Image) string { _, t := SplitName(i.Name); return t }
	age := func(i Image) string { return units.HumanDuration(now.Sub(i.Created)) + " ago" }
	size := func(i Image) string { return units.HumanSizeWithPrecision(float64(i.Size), 3) }
	return Sheet[Image]{
		Columns: []Column[Image]{
			{Head: "REPOSITORY", Text: repo},
			{Head: "TAG", Text: tag},
			{Head: "DIGEST", Wide: true, Text: digestOf},
			{Head: "IMAGE ID", Text: func(i Image) string { return id(i.ID) }},
			{Head: "CREATED", Text: age},
			{Head: "SIZE", Text: size},
			{Head: "LAYERS", Wide: true, Text: func(i Image) string { return fmt.Sprint(len(i.Layers)) }},
		},
		Name: func(i Image) string {
			if i.Name == "" {
				return i.ID
			}
			return i.Name
		},
		ID: func(i Image) string { return id(i.ID) },
		Row: func(i Image) any {
			return ImageRow{
				ID: id(i.ID), Repository: repo(i), Tag: tag(i), Digest: digestOf(i), CreatedAt: i.Created.Format(timeLayout),
				CreatedSince: age(i), Size: size(i),
			}
		},
	}
}

// digestOf is what the registry of the image's name calls it.
func digestOf(i Image) string {
	repo, _ := SplitName(i.Name)
	for _, d := range i.Digests {
		if name, digest, ok := strings.Cut(d, "@"); ok && (name == repo || strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/") == repo) {
			return digest
		}
	}
	return "<none>"
}

// SplitName divides a reference at its tag; a colon before a slash is a port.
func SplitName(name string) (repo, tag string) {
	if name == "" {
		return "<none>", "<none>"
	}
	if at := strings.IndexByte(name, '@'); at >= 0 {
		return name[:at], "<none>"
	}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, "<none>"
}
