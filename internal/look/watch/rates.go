package watch

import (
	"slices"
	"time"

	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/sample"
)

// Table is what two samples say together.
type Table struct {
	At time.Time `json:"at"`
	// Seconds are between the samples, 0 when there was only one: then there are no
	// rates.
	Seconds float64 `json:"seconds"`
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
	// Limited is true when a reader with more rights would see more.
	Limited bool `json:"limited,omitempty"`
	Inner   bool `json:"inner,omitempty"`
}

// Machine is what all together use.
type Machine struct {
	Name string `json:"name"`
	CPUs int    `json:"cpus"`
	// CPU is in percent of one CPU.
	CPU       *float64       `json:"cpuPercent,omitempty"`
	Memory    uint64         `json:"memory"`
	Used      uint64         `json:"memoryUsed"`
	Load      string         `json:"load"`
	Processes int            `json:"processes"`
	Received  *float64       `json:"receivedPerSecond,omitempty"`
	Sent      *float64       `json:"sentPerSecond,omitempty"`
	Pressure  group.Pressure `json:"pressure"`
}

// Row is a pod, or a container with or without one.
type Row struct {
	// Key names the row in every table it is in.
	Key       string `json:"-"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	ID        string `json:"id,omitempty"`
	Engine    string `json:"engine,omitempty"`
	PID       int    `json:"pid"`
	State     string `json:"state"`
	Processes int    `json:"processes"`
	// CPU is in percent of one CPU; Throttled is the share of periods in which the
	// quota ran out.
	CPU       *float64 `json:"cpuPercent,omitempty"`
	Quota     *float64 `json:"cpuQuota,omitempty"`
	Throttled *float64 `json:"throttledPercent,omitempty"`
	Memory    *uint64  `json:"memory,omitempty"`
	// Limit is the row's own, or the pod's when that is all there is.
	Limit     *uint64         `json:"memoryLimit,omitempty"`
	PodLimit  bool            `json:"memoryLimitOfPod,omitempty"`
	Read      *float64        `json:"readPerSecond,omitempty"`
	Written   *float64        `json:"writtenPerSecond,omitempty"`
	Received  *float64        `json:"receivedPerSecond,omitempty"`
	Sent      *float64        `json:"sentPerSecond,omitempty"`
	Pids      *uint64         `json:"pids,omitempty"`
	PidsLimit *uint64         `json:"pidsLimit,omitempty"`
	Pressure  *group.Pressure `json:"pressure,omitempty"`
	// Network says whose network it is in: "own", "pod", "host", or the name of who
	// else shares it and has the numbers.
	Network string `json:"network,omitempty"`
	// Shares says of each kind of namespace with whom it is shared.
	Shares Shares `json:"shares"`
	// Cgroup is what counts, "" when processes were summed up.
	Cgroup string `json:"cgroup,omitempty"`
	Rows   []Row  `json:"rows,omitempty"`

	solo bool
}

// Rates works out a table. Before is nil for the first sample.
func Rates(before, now *sample.Sample) Table {
	b := builder{now: now, old: map[string]*sample.Thing{}, shown: map[uint64]string{}}
	t := Table{At: now.At, Rows: []Row{}, Limited: now.Limited, Inner: now.Inner}
	if before != nil {
		b.nets = before.Nets
		b.seconds = now.At.Sub(before.At).Seconds()
		t.Seconds = b.seconds
		for i := range before.Things {
			b.old[before.Things[i].Key] = &before.Things[i]
		}
	}
	b.peers = peers(now)
	t.Machine = b.machine(before)
	pods := map[string]int{}
	for i := range now.Things {
		row := b.row(&now.Things[i])
		if up, in := pods[now.Things[i].Pod]; in && now.Things[i].Pod != "" {
			t.Rows[up].Rows = append(t.Rows[up].Rows, row)
			continue
		}
		if row.Kind == sample.ThingPod {
			pods[row.Key] = len(t.Rows)
		}
		t.Rows = append(t.Rows, row)
	}
	for i := range t.Rows {
		t.Rows[i].complete()
		t.Rows[i].alone()
	}
	return t
}

// builder works out the rows of one table.
type builder struct {
	now     *sample.Sample
	old     map[string]*sample.Thing
	nets    map[uint64]sample.Net
	seconds float64
	peers   map[look.Namespace][]*sample.Thing
	shown   map[uint64]string // who has the numbers of a network
}

func (b *builder) machine(before *sample.Sample) Machine {
	m := b.now.Machine
	out := Machine{
		Name: m.Name, CPUs: m.CPUs, Memory: m.Memory, Used: m.Memory - min(m.Memory, m.Available),
		Load: m.Load, Processes: m.Processes, Pressure: m.Pressure,
	}
	if before != nil && m.Total > before.Machine.Total {
		share := float64(m.Busy-min(m.Busy, before.Machine.Busy)) / float64(m.Total-before.Machine.Total)
		all := share * float64(m.CPUs) * 100
		out.CPU = &all
	}
	out.Received, out.Sent = b.net(m.NS[look.Net])
	return out
}

func (b *builder) row(t *sample.Thing) Row {
	r := Row{
		Key: t.Key, Kind: t.Kind, Name: t.Name, ID: t.ID, Engine: t.Engine, PID: t.PID, State: t.State, Processes: t.Processes,
		Memory: t.Use.Memory, Limit: t.Use.Limit, Quota: t.Use.Quota, Pids: t.Use.Pids, PidsLimit: t.Use.PidsLimit,
		Pressure: t.Use.Pressure, Cgroup: t.Use.From, Shares: b.shares(t), solo: t.Solo,
	}
	b.network(t, &r)
	old := b.old[t.Key]
	if old == nil || old.Use.From != t.Use.From {
		return r
	}
	if r.CPU = b.rate(old.Use.CPU, t.Use.CPU); r.CPU != nil {
		*r.CPU /= 1e7 // nanoseconds of a second in percent
	}
	r.Read, r.Written = b.rate(old.Use.Read, t.Use.Read), b.rate(old.Use.Written, t.Use.Written)
	if t.Use.Quota != nil {
		share := 0.0
		if n := t.Use.Periods - min(t.Use.Periods, old.Use.Periods); n > 0 {
			share = 100 * float64(t.Use.Throttled-min(t.Use.Throttled, old.Use.Throttled)) / float64(n)
		}
		r.Throttled = &share
	}
	return r
}

// rate is a counter's growth per second, nil when it is not known. A sum over processes
// falls when one ends: that is no rate below nothing.
func (b *builder) rate(before, now *uint64) *float64 {
	if before == nil || now == nil || b.seconds <= 0 {
		return nil
	}
	v := float64(*now-min(*now, *before)) / b.seconds
	return &v
}

func (b *builder) net(n uint64) (received, sent *float64) {
	now, known := b.now.Nets[n]
	old, before := b.nets[n]
	if !known || !before {
		return nil, nil
	}
	return b.rate(&old.Received, &now.Received), b.rate(&old.Sent, &now.Sent)
}

// network puts the numbers of a network namespace on the first row that is in it.
func (b *builder) network(t *sample.Thing, r *Row) {
	n := t.NS[look.Net]
	who, taken := b.shown[n]
	switch {
	case n == 0:
	case n == b.now.Machine.NS[look.Net]:
		r.Network = NetHost
	case taken && who == t.Pod:
		r.Network = NetPod
	case taken:
		r.Network = b.called(who)
	default:
		b.shown[n] = t.Key
		r.Network = NetOwn
		r.Received, r.Sent = b.net(n)
	}
}

// The words for whose network a row is in; any other is a name.
const (
	NetOwn  = "own"
	NetPod  = "pod"
	NetHost = "host"
)

func (b *builder) called(key string) string {
	for i := range b.now.Things {
		if b.now.Things[i].Key == key {
			return b.now.Things[i].Name
		}
	}
	return ""
}

// complete gives a pod what its containers sum up to where it has no group of its own,
// and containers the limit of their pod where they have none.
func (r *Row) complete() {
	if r.Kind != sample.ThingPod {
		return
	}
	if r.Cgroup == "" {
		for i := range r.Rows {
			c := &r.Rows[i]
			r.CPU, r.Read, r.Written = sum(r.CPU, c.CPU), sum(r.Read, c.Read), sum(r.Written, c.Written)
			r.Memory, r.Pids = sum(r.Memory, c.Memory), sum(r.Pids, c.Pids)
		}
	}
	r.Shares = r.Shares.all(r.Rows)
	for i := range r.Rows {
		if c := &r.Rows[i]; r.Limit != nil && (c.Limit == nil || *c.Limit > *r.Limit) && c.Kind == look.ClassContainer {
			c.Limit, c.PodLimit = r.Limit, true
		}
	}
}

// alone puts the only container of a pod that carob made around it in the pod's place,
// and what else is in the pod below it.
func (r *Row) alone() {
	i := slices.IndexFunc(r.Rows, func(c Row) bool { return c.Kind == look.ClassContainer })
	if !r.solo || i < 0 {
		return
	}
	c := r.Rows[i]
	c.Network, c.Received, c.Sent = r.Network, r.Received, r.Sent
	c.Rows = slices.Delete(r.Rows, i, i+1)
	*r = c
}

// sum adds what is known.
func sum[N uint64 | float64](a, b *N) *N {
	switch {
	case b == nil:
		return a
	case a == nil:
		n := *b
		return &n
	}
	n := *a + *b
	return &n
}
