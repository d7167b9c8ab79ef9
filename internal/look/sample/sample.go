// Package sample reads what pods and containers use at one instant: counters and
// gauges, of any engine's, from cgroups where a container has one of its own and else
// from its processes. Two samples make rates; package watch works them out.
//
// Like package look it reads below a root, writes nothing, and leaves out what ends
// while it is read. A Reader is for one goroutine.
package sample

import (
	"time"

	"carob/internal/look"
	"carob/internal/look/group"
)

// Sample is what was read at one instant.
type Sample struct {
	At      time.Time
	Machine Machine
	// Things are pods and containers, a pod before its containers.
	Things []Thing
	// Nets are counters by network namespace.
	Nets map[uint64]Net
	// Limited is true when root would see more.
	Limited bool
	// Inner is true when the reader is inside of a container and sees only that.
	Inner bool
}

// Machine is what all together use.
type Machine struct {
	Name string
	CPUs int
	// Busy and Total are clock ticks of all CPUs.
	Busy, Total uint64
	// Memory and Available are in bytes.
	Memory, Available uint64
	Load              string
	Processes         int
	Pressure          group.Pressure
	// NS are the host's own namespaces.
	NS look.NS
}

// ThingPod is the kind of a pod; those of containers are look's classes.
const ThingPod = look.ThingPod

// Thing is a pod or a container with what it uses.
type Thing struct {
	// Key names it in every sample it is in; Pod is the key of its pod, "" without.
	Key, Pod string
	// Kind is "pod", or the class of a container.
	Kind   string
	Name   string
	ID     string
	Engine string
	PID    int
	State  string
	// Solo is true for the pod that carob makes around a single container.
	Solo      bool
	Processes int
	NS        look.NS
	Use       Use
}

// The states of things.
const (
	Running = "running"
	Paused  = "paused"
	Stopped = "stopped" // by a signal or a debugger
	Zombie  = "zombie"
	Empty   = "empty" // a pod in which nothing runs but its sandbox
)

// Use is what a thing uses. What nobody counts is nil.
type Use struct {
	// From is the cgroup that counts, "" when processes were summed up.
	From string
	// CPU is in nanoseconds; Quota in CPUs.
	CPU   *uint64
	Quota *float64
	// Periods and Throttled count the periods of the quota, and those it ran out in.
	Periods, Throttled uint64
	// Memory is the working set in bytes, of processes what is resident.
	Memory, Limit *uint64
	// Read and Written are bytes from and to block devices.
	Read, Written   *uint64
	Pids, PidsLimit *uint64
	Pressure        *group.Pressure
}

// Net are bytes that came into and went out of a network namespace.
type Net struct {
	Received, Sent uint64
}
