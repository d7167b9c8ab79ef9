package ocirt

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/sys/task"
)

// TestRecord: what is written is read again, and is JSON in one line whatever is in it.
func TestRecord(t *testing.T) {
	for _, want := range []Record{
		{ID: "a"},
		{
			Version: "1.2", ID: "a", Init: task.ID{Pid: 7, Started: 1 << 63}, Bundle: "/b\n\"\\\x01 ä", Rootfs: "/r", Cgroup: "/c",
			Created: 1234567890123456789, Annotations: map[string]string{"k\n": "v\""}, SharedPids: true, LastStep: 3,
		},
	} {
		r := &Runtime{Root: t.TempDir()}
		c := &Container{r: r, Record: want, dir: r.Root + "/a"}
		if err := os.Mkdir(c.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Load("a"); err == nil {
			t.Error("a container without a record exists")
		}
		if err := c.write([]byte("{}\n\n")); err != nil {
			t.Fatal(err)
		}
		got, err := r.Load("a")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got.Record); d != "" {
			t.Errorf("(-written +read)\n%s", d)
		}
		if _, config, err := kept(got); err != nil || string(config) != "{}\n\n" {
			t.Errorf("the configuration is %q, %v", config, err)
		}
		var plain Record
		if err := json.Unmarshal(line(want), &plain); err != nil || !cmp.Equal(plain, want) {
			t.Errorf("json reads %+v, %v", plain, err)
		}
	}
}
