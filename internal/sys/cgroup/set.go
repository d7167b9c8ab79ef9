package cgroup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
)

// Set changes the limits of a group that may be in use; what res leaves out stays
// as it is. It is all or nothing: when the kernel refuses a value, every file
// written before gets its old value back, in reverse.
func (g *Group) Set(res *specs.LinuxResources) error {
	if res == nil {
		return nil
	}
	now, err := g.Observed()
	if err != nil {
		return err
	}
	writes, err := plan.Limits(res, now, g.l.host)
	if err == nil {
		err = g.roomFor(res.Memory)
	}
	if err == nil {
		err = (&change{g: g, undoable: true}).carryOut(writes, res)
	}
	if err != nil {
		return fmt.Errorf("cgroup %s: %w", g.Name(), err)
	}
	return nil
}

// SetWithin is Set of g with what the groups above leave: see plan.Within.
func SetWithin(g *Group, res *specs.LinuxResources) error {
	for up := path.Dir(g.rel); up != "/" && g.l.host["cpu"] == plan.V1; up = path.Dir(up) {
		now, err := (&Group{l: g.l, rel: up}).Observed()
		if err != nil {
			return err
		}
		res = plan.Within(res, now.CPU)
	}
	return g.Set(res)
}

// roomFor honours memory.checkBeforeUpdate: v2 would take a limit below the
// present use and kill until it holds; v1 refuses by itself.
func (g *Group) roomFor(m *specs.LinuxMemory) error {
	if m == nil || m.CheckBeforeUpdate == nil || !*m.CheckBeforeUpdate || m.Limit == nil || *m.Limit <= 0 || g.l.host["memory"] != plan.V2 {
		return nil
	}
	used, err := readNumber(g.Path("memory") + "/memory.current")
	if err != nil {
		return err
	}
	if used > uint64(*m.Limit) {
		return fault.New(fault.Conflict, fmt.Sprintf("memory.limit: %d is below the %d bytes in use", *m.Limit, used))
	}
	return nil
}

// change is a change of a group's limits under way.
type change struct {
	g *Group
	// undoable: what is written can be taken back. A fresh group has nothing to go
	// back to.
	undoable bool
	undo     []plan.Write // what takes back, in the order of the writes
}

// carryOut makes the writes and then sets the device rules. A change that is undoable
// does all or nothing.
func (c *change) carryOut(writes []plan.Write, res *specs.LinuxResources) error {
	err := c.apply(writes)
	if err == nil && res != nil && len(res.Devices) > 0 {
		err = c.devices(res.Devices)
	}
	if err == nil {
		return nil
	}
	for _, w := range slices.Backward(c.undo) {
		if e := writeFile(c.g.Path(w.Controller)+"/"+w.File, w.Value); e != nil {
			err = errors.Join(err, fmt.Errorf("roll back %s: %w", w.Field, e))
		}
	}
	return err
}

// apply writes in order and keeps what takes each back.
func (c *change) apply(writes []plan.Write) error {
	for _, w := range writes {
		dir := c.g.Path(w.Controller) + "/"
		if w.Or != nil && !c.has(w) {
			w = *w.Or
		}
		var old string
		if c.undoable {
			old, _ = readFile(dir + w.File) // a file that is not there fails below
		}
		err := writeFile(dir+w.File, w.Value)
		if errors.Is(err, unix.ENOENT) && c.has(w) {
			err = writeFile(dir+w.File, w.Value)
		}
		if errors.Is(err, unix.ENOENT) {
			return fault.New(fault.Unsupported, w.Field+": "+c.whyMissing(w))
		}
		if err != nil {
			return fault.Wrap(kind(err), fmt.Sprintf("%s: %.80q%s", w.Field, w.Value, c.why(w, err)), err)
		}
		if c.undoable {
			w.Value = before(w, old)
			c.undo = append(c.undo, w)
		}
	}
	return nil
}

// has reports whether the group has a write's file. The kernel shows a controller in the
// v2 parent's cgroup.subtree_control before it has made the files: who reads it while a
// neighbour enables it (hierarchy.enable) finds nothing left to do, and no files. A write
// of what is there already changes nothing, and ends after the neighbour's.
func (c *change) has(w plan.Write) bool {
	dir := c.g.Path(w.Controller)
	if exists(dir + "/" + w.File) {
		return true
	}
	control := path.Dir(dir) + "/cgroup.subtree_control"
	if on, err := readFile(control); err != nil || !hasWord(on, w.Controller) {
		return false
	}
	return writeFile(control, "+"+w.Controller) == nil && exists(dir+"/"+w.File)
}

// why tells what stands against a value, as far as the groups' files say.
func (c *change) why(w plan.Write, err error) string {
	dir := c.g.Path(w.Controller)
	switch {
	case w.Controller == "cpuset" && kind(err) == fault.Invalid:
		for _, file := range []string{w.File + ".effective", w.File} { // v2's, v1's
			if there, err := readFile(path.Dir(dir) + "/" + file); err == nil {
				return ": not all of it is in " + strings.TrimSpace(there) + ", what there is"
			}
		}
	case w.Controller == "memory" && errors.Is(err, unix.EBUSY):
		if used, err := readNumber(dir + "/memory.usage_in_bytes"); err == nil {
			return fmt.Sprintf(": below the %d bytes in use", used)
		}
	}
	return ""
}

func exists(path string) bool { return unix.Access(path, unix.F_OK) == nil }

// whyMissing tells a file that this kernel lacks from a controller that a v2
// parent did not pass down.
func (c *change) whyMissing(w plan.Write) string {
	if w.Missing != "" && c.g.l.host[w.Controller] == plan.V1 {
		return w.Missing
	}
	on, err := readFile(c.g.Path(w.Controller) + "/cgroup.controllers")
	if err == nil && !hasWord(on, w.Controller) {
		return "the parent group does not pass the " + w.Controller + " controller down; a group with processes of its own cannot"
	}
	if w.Missing != "" {
		return w.Missing
	}
	return "this kernel has no " + w.File
}

func hasWord(text, word string) bool {
	for f := range strings.FieldsSeq(text) {
		if f == word {
			return true
		}
	}
	return false
}

// before returns the write that restores a file whose text was old.
func before(w plan.Write, old string) string {
	if w.Key == "" {
		return strings.TrimSpace(old)
	}
	rest := w.Unset
	for line := range strings.Lines(old) {
		if after, ok := strings.CutPrefix(line, w.Key+" "); ok {
			rest = strings.TrimSpace(after)
			break
		}
	}
	if !strings.HasPrefix(w.Value, w.Key+" ") { // oom_control: the key is shown, not written
		return rest
	}
	return w.Key + " " + rest
}

// devices applies device rules, after everything else.
func (c *change) devices(oci []specs.LinuxDeviceCgroup) error {
	rules, err := plan.DeviceRules(oci)
	if err != nil {
		return err
	}
	switch c.g.l.host["devices"] {
	case plan.None:
		return fault.New(fault.Unsupported, "devices: no devices controller on this host")
	case plan.V2:
		code, err := plan.DeviceProgram(rules)
		if err != nil {
			return err
		}
		return c.g.l.programs.replace(c.g.Path("devices"), code)
	}
	want, err := plan.NewAllowlist(rules)
	if err != nil {
		return err
	}
	text, err := readFile(c.g.Path("devices") + "/devices.list")
	if err != nil {
		return fault.Wrap(kind(err), "devices", err)
	}
	have, err := plan.ParseDevicesList(text)
	if err != nil {
		return err
	}
	if c.undoable {
		back := have.Transition(want)
		slices.Reverse(back) // undone from the end
		c.undo = append(c.undo, back...)
	}
	return writeDevices(c.g.Path("devices"), want.Transition(have))
}

// writeDevices makes many writes to the two files of a v1 devices group, which stay open
// meanwhile.
func writeDevices(dir string, writes []plan.Write) error {
	files := map[string]int{}
	defer func() {
		for _, fd := range files {
			unix.Close(fd)
		}
	}()
	for _, w := range writes {
		fd, ok := files[w.File]
		if !ok {
			var err error
			if fd, err = open(dir+"/"+w.File, unix.O_WRONLY); err != nil {
				return fault.Wrap(kind(err), "devices", err)
			}
			files[w.File] = fd
		}
		if err := writeTo(fd, w.Value); err != nil {
			return fault.Wrap(kind(err), fmt.Sprintf("devices: %q", w.Value), pathError("write", dir+"/"+w.File, err))
		}
	}
	return nil
}
