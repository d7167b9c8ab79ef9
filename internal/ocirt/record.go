package ocirt

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/ocispec"
	"carob/internal/sys/task"
)

// Record is what is written down of a container.
type Record struct {
	Version string  `json:"ociVersion"`
	ID      string  `json:"id"`
	Init    task.ID `json:"init"`
	Bundle  string  `json:"bundle"`
	Rootfs  string  `json:"rootfs"`
	Cgroup  string  `json:"cgroup"` // "" is none
	// Created is when create came to its end, in nanoseconds since 1970.
	Created     int64             `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// SharedPids says that the container has no pid namespace of its own: its processes
	// do not end with the first.
	SharedPids bool `json:"sharedPids,omitempty"`
	// LastStep is the number of the program's last step, execve. Besides that only the
	// loading of a filter can fail after create.
	LastStep int `json:"lastStep"`
}

// recordFile is a Record as JSON in a line, and after that the configuration as it was at
// create: one file, because every one that is made and removed counts where /run is no
// memory file system (0.3 ms on ext4, which looks for an inode that was not in use in
// the last seconds).
const recordFile = "record"

// Load finds a container. NotFound says "container does not exist".
func (r *Runtime) Load(id string) (*Container, error) {
	if err := ocispec.ID(id); err != nil {
		return nil, err
	}
	c := &Container{r: r, dir: filepath.Join(r.Root, id)}
	var err error
	if c.line, _, err = kept(c); err != nil {
		return nil, err
	}
	return c, ocispec.Read(bytes.NewReader(c.line), &c.Record)
}

// kept reads both parts of what is written down.
func kept(c *Container) (record, config []byte, err error) {
	text, err := os.ReadFile(c.file(recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, errMissing()
	}
	record, config, _ = bytes.Cut(text, []byte{'\n'})
	return record, config, err
}

// Config returns the configuration that the container was created from.
func (c *Container) Config() (*specs.Spec, error) {
	_, config, err := kept(c)
	if err != nil {
		return nil, err
	}
	return c.r.parse(bytes.NewReader(config))
}

// settled is the configuration as far as it matters when the container has been created.
func settled(c *Container) (*specs.Spec, error) {
	if c.spec != nil {
		return c.spec, nil
	}
	return c.Config()
}

// write puts the record down: from then on the container exists.
func (c *Container) write(config []byte) (err error) {
	next := c.file(recordFile + ".next")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	c.line = line(c.Record)
	for _, part := range [][]byte{c.line, {'\n'}, config} {
		if err == nil {
			_, err = f.Write(part)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(next, c.file(recordFile))
}

// line is a record as it is written, without the line's end. The form is spelled out because json.Marshal takes 0.2
// ms to learn it, in a process that writes it once.
func line(r Record) []byte {
	b := []byte(`{"lastStep":`)
	b = strconv.AppendInt(b, int64(r.LastStep), 10)
	b = strconv.AppendInt(append(b, `,"created":`...), r.Created, 10)
	b = strconv.AppendInt(append(b, `,"init":{"pid":`...), int64(r.Init.Pid), 10)
	b = strconv.AppendUint(append(b, `,"started":`...), r.Init.Started, 10)
	b = strconv.AppendBool(append(b, `},"sharedPids":`...), r.SharedPids)
	for _, f := range [...][2]string{
		{"ociVersion", r.Version}, {"id", r.ID}, {"bundle", r.Bundle}, {"rootfs", r.Rootfs}, {"cgroup", r.Cgroup},
	} {
		b = append(append(append(append(b, `,"`...), f[0]...), `":`...), quoted(f[1])...)
	}
	if len(r.Annotations) > 0 {
		text, _ := json.Marshal(r.Annotations) // strings always can be
		b = append(append(b, `,"annotations":`...), text...)
	}
	return append(b, '}')
}

func quoted(s string) []byte {
	text, _ := json.Marshal(s)
	return text
}
