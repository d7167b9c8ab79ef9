package oci

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/testenv"
)

// newRdtBox is a box on a machine whose resctrl file system is a directory.
func newRdtBox(t *testing.T) (b *box, dir string) {
	testenv.Require(t, testenv.Toolchain)
	b, dir = newBox(t), t.TempDir()
	t.Setenv("RESCTRL", dir)
	b.binary = filepath.Join(b.dir, "carob-oci")
	build := exec.Command("go", "build", "-ldflags", "-E carob/internal/sys/exe.Entry", "-o", b.binary, "./testdata/resctrl")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return b, dir
}

// TestResctrl: a container's processes, those of execs and hooks too, are put into its
// groups before their command begins; a failed create and delete leave no group behind.
func TestResctrl(t *testing.T) {
	b, dir := newRdtBox(t)
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		b.must(err)
		return string(text)
	}
	left := func(what string) {
		t.Helper()
		if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
			t.Errorf("%s leaves %v, %v", what, all, err)
		}
	}
	b.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20", EnableMonitoring: true}
	b.spec.Process.Args = []string{"/no/such/command"}
	b.write()
	if out, err := b.try("run", b.id); err == nil {
		t.Errorf("ran: %s", out)
	}
	left("a failed run")

	// A container sees the directory, and so what its group's tasks are.
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/resctrl", Type: "bind", Source: dir, Options: []string{"bind", "ro"}})
	tasks := "/resctrl/" + b.id + "/tasks"
	b.spec.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat " + tasks + " >/tmp/hook"}}}}
	b.start()
	pid := strconv.Itoa(b.state().Pid)
	for name, want := range map[string]string{"/schemata": "L3:0=f\nMB:0=20\n", "/tasks": pid + "\n", "/mon_groups/" + b.id + "/tasks": pid + "\n"} {
		// What is written to the directory's files stays there: the first process comes first.
		if got := read(b.id + name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	hook, err := os.ReadFile(b.rootfs("tmp/hook"))
	b.must(err)
	if got := strings.Fields(string(hook)); len(got) != 2 || got[0] != pid {
		t.Errorf("a hook begins when the tasks are %q", got)
	}
	file := filepath.Join(b.dir, "pid")
	got := strings.Fields(b.call("exec", "--pid-file", file, b.id, "cat", tasks))
	own, err := os.ReadFile(file)
	b.must(err)
	if len(got) != 3 || got[2] != string(own) {
		t.Errorf("exec %s begins when the tasks are %q", own, got)
	}
	b.call("delete", "--force", b.id)
	left("delete")
}

// TestResctrlRestore: what a checkpoint has made would have to be moved while it runs.
func TestResctrlRestore(t *testing.T) {
	b := newBox(t)
	b.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{}
	b.write()
	images := t.TempDir()
	b.must(os.WriteFile(filepath.Join(images, "descriptors.json"), []byte("[]"), 0o600))
	if out, err := b.try("restore", "--image-path", images, b.id); err == nil || !strings.Contains(out, "linux.intelRdt: a container is not restored") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestResctrlClass: a class that is there stays, and one that is not is an error.
func TestResctrlClass(t *testing.T) {
	b, dir := newRdtBox(t)
	b.spec.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold"}
	b.sh("echo ran")
	b.write()
	if out, err := b.try("run", b.id); err == nil || !strings.Contains(out, "linux.intelRdt.closID: gold") || strings.Contains(out, "ran") {
		t.Errorf("%v: %s", err, out)
	}
	b.must(os.Mkdir(filepath.Join(dir, "gold"), 0o755))
	b.must(os.WriteFile(filepath.Join(dir, "gold/tasks"), nil, 0o644))
	if got := b.run("echo ran"); got != "ran" {
		t.Errorf("%q", got)
	}
	all, err := filepath.Glob(filepath.Join(dir, "*/*"))
	if want := []string{filepath.Join(dir, "gold/tasks")}; err != nil || !slices.Equal(all, want) {
		t.Errorf("%q, %v", all, err)
	}
}
