package show

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"carob/internal/status"
)

// Usage is a container's use of resources between two reports.
type Usage struct {
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	CPU     float64 `json:"cpuPercent"`
	Memory  uint64  `json:"memory"`
	Limit   uint64  `json:"memoryLimit"`
	Percent float64 `json:"memoryPercent"`
	Read    uint64  `json:"ioRead"`
	Write   uint64  `json:"ioWrite"`
	// Network is what the container's network has carried, nil in the host's.
	Network  *status.NetworkUse `json:"network,omitempty"`
	Pids     uint64             `json:"pids"`
	OOMKills uint64             `json:"oomKills"`
}

// Between computes usage from two reports; a container that is new in the second
// has no CPU share yet. Memory is the working set, as kubectl and Docker count it.
func Between(before, after []status.Stats) []Usage {
	old := map[string]status.Stats{}
	for _, s := range before {
		old[s.ID] = s
	}
	list := make([]Usage, 0, len(after))
	for _, s := range after {
		u := Usage{
			ID: s.ID, Name: s.Name, Memory: s.MemoryWorkingSet, Limit: s.MemoryLimit,
			Read: s.IORead, Write: s.IOWrite, Network: s.Network, Pids: s.Pids, OOMKills: s.OOMKills,
		}
		if o, ok := old[s.ID]; ok && s.At.After(o.At) && s.CPUTotal >= o.CPUTotal {
			u.CPU = 100 * float64(s.CPUTotal-o.CPUTotal) / float64(s.At.Sub(o.At))
		}
		if s.MemoryLimit > 0 {
			u.Percent = 100 * float64(s.MemoryWorkingSet) / float64(s.MemoryLimit)
		}
		list = append(list, u)
	}
	return list
}

func binary(n uint64) string { return units.BytesSize(float64(n)) }

// decimal is for traffic, as Docker has it.
func decimal(n uint64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func blockIO(u Usage) string { return decimal(u.Read) + " / " + decimal(u.Write) }

func netIO(u Usage) string {
	if u.Network == nil {
		return "-"
	}
	return decimal(u.Network.Received) + " / " + decimal(u.Network.Sent)
}

// Usages shows use of resources.
func Usages() Sheet[Usage] {
	limit := func(u Usage) string {
		if u.Limit == 0 {
			return "-"
		}
		return binary(u.Limit)
	}
	return Sheet[Usage]{
		Columns: []Column[Usage]{
			{Head: "CONTAINER ID", Text: func(u Usage) string { return Short(u.ID) }},
			{Head: "NAME", Text: func(u Usage) string { return u.Name }},
			{Head: "CPU %", Text: func(u Usage) string { return fmt.Sprintf("%.2f%%", u.CPU) }},
			{Head: "MEM USAGE / LIMIT", Text: func(u Usage) string { return binary(u.Memory) + " / " + limit(u) }},
			{Head: "MEM %", Text: func(u Usage) string { return fmt.Sprintf("%.2f%%", u.Percent) }},
			{Head: "NET I/O", Text: netIO},
			{Head: "BLOCK I/O", Text: blockIO},
			{Head: "PIDS", Text: func(u Usage) string { return fmt.Sprint(u.Pids) }},
			{Head: "OOM KILLS", Wide: true, Text: func(u Usage) string { return fmt.Sprint(u.OOMKills) }},
		},
		Name: func(u Usage) string { return u.Name },
		Row: func(u Usage) any {
			return UsageRow{
				Usage: u, Container: u.Name, CPUPerc: fmt.Sprintf("%.2f%%", u.CPU), MemUsage: binary(u.Memory) + " / " + limit(u),
				MemPerc: fmt.Sprintf("%.2f%%", u.Percent), NetIO: netIO(u), BlockIO: blockIO(u), PIDs: fmt.Sprint(u.Pids),
			}
		},
	}
}

// UsageRow is use of resources as `stats --format` sees it: numbers, and Docker's names
// for what the table shows of them.
type UsageRow struct {
	Usage
	Container, CPUPerc, MemUsage, MemPerc, NetIO, BlockIO, PIDs string
}

// Processes shows the processes of a container.
func Processes() Sheet[status.Process] {
	return Sheet[status.Process]{
		Columns: []Column[status.Process]{
			{Head: "UID", Text: func(p status.Process) string { return fmt.Sprint(p.UID) }},
			{Head: "PID", Text: func(p status.Process) string { return fmt.Sprint(p.Pid) }},
			{Head: "PPID", Text: func(p status.Process) string { return fmt.Sprint(p.PPid) }},
			{Head: "STATE", Text: func(p status.Process) string { return p.State }},
			{Head: "RSS", Text: func(p status.Process) string { return binary(p.RSS) }},
			{Head: "TIME", Text: func(p status.Process) string { return clock(time.Duration(p.CPU)) }},
			{Head: "COMMAND", Text: func(p status.Process) string { return p.Command }},
		},
		Name: func(p status.Process) string { return fmt.Sprint(p.Pid) },
		Row:  func(p status.Process) any { return p },
	}
}

func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}

// Event is one line of `events`.
func Event(e status.Event) string {
	id, name := e.ContainerID, e.Name
	if id == "" {
		id, name = e.PodID, e.PodName
	} else if e.PodName != "" && e.PodName != name {
		name = e.PodName + "/" + name
	}
	attrs := words(e.Attributes)
	if attrs != "" {
		attrs = ", " + strings.ReplaceAll(attrs, ",", ", ")
	}
	return Printable(fmt.Sprintf("%s %s %s %s (name=%s%s)", e.Time.Format(time.RFC3339Nano), e.Type, e.Action, id, name, attrs))
}
