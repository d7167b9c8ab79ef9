package cni

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/containernetworking/cni/pkg/types"

	"carob/internal/fault"
)

// recordKind is the kind of records in Config.Records, by pod ID.
const recordKind = "attachment"

// record is what is stored of a pod, enough to take its attachments back.
type record struct {
	PodID string `json:"podID"`
	// Path is the namespace's.
	Path string `json:"path"`
	// Attachments are in the order in which they were made.
	Attachments []attachment `json:"attachments"`
}

// attachment is one interface of a pod. Made says that ADD has succeeded.
type attachment struct {
	Network string      `json:"network"`
	IfName  string      `json:"ifName"`
	Args    [][2]string `json:"args"`
	// Capabilities are the arguments of the plugins' capabilities.
	Capabilities map[string]any `json:"capabilities,omitempty"`
	// Config is the network's configuration as it was, plugins inlined.
	Config json.RawMessage `json:"config"`
	Made   bool            `json:"made,omitempty"`
}

// ledger is the records, in the store and in memory.
type ledger struct {
	store Store

	// mu guards records and is held for map access only.
	mu      sync.Mutex
	records map[string]record
}

func (l *ledger) load() error {
	return l.store.Load(recordKind, func(id string, raw []byte) error {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil || r.PodID != id {
			return fault.New(fault.Invalid, fmt.Sprintf("pod %s: attachments: not a record", id))
		}
		l.records[id] = r
		return nil
	})
}

// get returns a record that is the caller's to change.
func (l *ledger) get(podID string) (record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.records[podID]
	r.Attachments = slices.Clone(r.Attachments)
	return r, ok
}

func (l *ledger) put(r record) error {
	if err := l.store.Put(recordKind, r.PodID, r); err != nil {
		return fmt.Errorf("attachments: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Attachments = slices.Clone(r.Attachments)
	l.records[r.PodID] = r
	return nil
}

func (l *ledger) forget(podID string) error {
	if err := l.store.Delete(recordKind, podID); err != nil {
		return fmt.Errorf("attachments: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.records, podID)
	return nil
}

// all returns the records, by pod ID.
func (l *ledger) all() (all []record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.records)) {
		all = append(all, l.records[id])
	}
	return all
}

// members are the attachments to a network.
func (l *ledger) members(network string) (members []types.GCAttachment) {
	for _, r := range l.all() {
		for _, at := range r.Attachments {
			if at.Network == network {
				members = append(members, types.GCAttachment{ContainerID: r.PodID, IfName: at.IfName})
			}
		}
	}
	return members
}

// turns are locks by pod.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	sync.Mutex
	users int
}

// take waits for the pod's turn and returns what ends it.
func (ts *turns) take(podID string) (end func()) {
	ts.mu.Lock()
	t := ts.of[podID]
	if t == nil {
		t = &turn{}
		ts.of[podID] = t
	}
	t.users++
	ts.mu.Unlock()
	t.Lock()
	return func() {
		t.Unlock()
		ts.mu.Lock()
		defer ts.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(ts.of, podID)
		}
	}
}
