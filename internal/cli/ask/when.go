package ask

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/status"
)

// when reads a time as Docker does: a duration before now, RFC 3339 with or without
// time and zone, or seconds since 1970.
func when(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < 1<<40 {
		whole := int64(f)
		return time.Unix(whole, int64((f-float64(whole))*1e9)), nil
	}
	return time.Time{}, bad(flag, s, "not a time (10m, 2026-01-02T15:04:05Z, seconds since 1970)")
}

// LogWindow is the part of a log that is shown; Tail is -1 for all.
type LogWindow struct {
	Tail         int
	Since, Until time.Time
}

// Logs reads --tail, --since and --until of logs.
func Logs(tail, since, until string, now time.Time) (w LogWindow, err error) {
	w.Tail = -1
	if tail != "all" && tail != "" {
		if w.Tail, err = strconv.Atoi(tail); err != nil {
			return w, bad("tail", tail, "not a number of lines, or all")
		}
		w.Tail = max(w.Tail, -1)
	}
	if w.Since, err = when("since", since, now); err != nil {
		return w, err
	}
	w.Until, err = when("until", until, now)
	return w, err
}

// EventWindow says which events are shown.
type EventWindow struct {
	Since, Until                     time.Time
	types, actions, pods, containers []string
}

// Events reads --since, --until and --filter of events. Without --since only what
// happens from now on is shown.
func Events(since, until string, filters []string, now time.Time) (w EventWindow, err error) {
	if w.Since, err = when("since", since, now); err != nil {
		return w, err
	}
	if w.Until, err = when("until", until, now); err != nil {
		return w, err
	}
	for _, f := range filters {
		k, v, ok := strings.Cut(f, "=")
		to := map[string]*[]string{"type": &w.types, "action": &w.actions, "event": &w.actions, "pod": &w.pods, "container": &w.containers}[k]
		if !ok || to == nil {
			return w, fault.New(fault.Invalid, "--filter \""+f+"\": not type=, action= (also event=), pod= or container=; events have no labels, images or networks")
		}
		*to = append(*to, v)
	}
	return w, nil
}

// Fits tells whether an event is shown.
func (w EventWindow) Fits(e status.Event) bool {
	is := func(id, name string) func(string) bool {
		return func(v string) bool { return v == name && v != "" || id != "" && strings.HasPrefix(id, v) }
	}
	return !e.Time.Before(w.Since) && (w.Until.IsZero() || !e.Time.After(w.Until)) &&
		(len(w.types) == 0 || slices.Contains(w.types, e.Type)) &&
		(len(w.actions) == 0 || slices.Contains(w.actions, e.Action)) &&
		AnyOf(w.pods, is(e.PodID, e.PodName)) && AnyOf(w.containers, is(e.ContainerID, e.Name))
}
