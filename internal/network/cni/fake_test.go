package cni

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/store"
	"carob/internal/testenv"
)

// TestMain is also the fake plugin: this binary under another name. What it does is in
// the configuration that it is given.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		os.Exit(fakePlugin())
	}
	// Under the race detector a plugin's end would take a second.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// fakeConf is the part of a configuration that the fake plugin understands.
type fakeConf struct {
	CNIVersion string
	Name       string
	Type       string
	// Do is what to do for a command: "", "fail", "hang", "garbage", "null", "flood",
	// "silent", "child". File, where it exists, is taken instead.
	Do   map[string]string
	File string
	// Log gets a line per run; Seen with a command behind, its last standard input.
	Log, Seen string
	// Result is what ADD prints; else one address of the documentation's.
	Result        json.RawMessage
	PrevResult    json.RawMessage
	RuntimeConfig json.RawMessage
}

func fakePlugin() int {
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		return 1
	}
	var c fakeConf
	if err := json.Unmarshal(raw, &c); err != nil {
		return 1
	}
	if text, err := os.ReadFile(c.File); err == nil {
		c.Do = nil
		_ = json.Unmarshal(text, &c.Do)
	}
	command := os.Getenv("CNI_COMMAND")
	if c.Log != "" {
		f, err := os.OpenFile(c.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 1
		}
		place := "gone"
		if os.Getenv("CNI_NETNS") != "" {
			place = "there"
		}
		fmt.Fprintln(f, command, c.Type, os.Getenv("CNI_IFNAME"), place)
		f.Close()
	}
	if c.Seen != "" {
		_ = os.WriteFile(c.Seen+command, append(append(raw, '\n'), os.Getenv("CNI_ARGS")...), 0o600)
	}
	return c.act(c.Do[command], command)
}

func (c *fakeConf) act(what, command string) int {
	switch what {
	case "fail":
		fmt.Printf(`{"cniVersion":%q,"code":11,"msg":"not today","details":"the fake refuses"}`, c.CNIVersion)
		return 1
	case "silent":
		fmt.Fprintln(os.Stderr, "panic: something")
		return 2
	case "hang":
		time.Sleep(time.Hour)
	case "child": // goes, and leaves a child that holds the output open
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "CNI_COMMAND=") }), "CNI_COMMAND=SLEEP")
		in, order, err := os.Pipe() // a reader would be copied by a goroutine, which may not come to it
		if err != nil {
			return 1
		}
		if _, err := order.WriteString(`{"do":{"SLEEP":"hang"}}`); err != nil || order.Close() != nil {
			return 1
		}
		cmd.Stdin, cmd.Stdout = in, os.Stdout
		if cmd.Start() == nil {
			_ = os.WriteFile(c.Log+".pid", []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
		}
	case "garbage":
		fmt.Print("<html>")
		return 0
	case "null":
		fmt.Printf(`{"cniVersion":%q,"ips":[null],"interfaces":[null]}`, c.CNIVersion)
		return 0
	case "flood":
		for range 100 {
			if _, err := fmt.Print(strings.Repeat("x", 1<<20)); err != nil {
				return 1
			}
		}
		return 0
	}
	if command != "ADD" {
		return 0
	}
	switch {
	case c.Result != nil:
		fmt.Print(string(c.Result))
	case c.PrevResult != nil:
		fmt.Print(string(c.PrevResult))
	default:
		fmt.Printf(`{"cniVersion":%q,"interfaces":[{"name":"veth1"},{"name":%q,"mac":"02:00:00:00:00:01","sandbox":%q}],
			"ips":[{"address":"192.0.2.7/24","gateway":"192.0.2.1","interface":1}]}`, c.CNIVersion, os.Getenv("CNI_IFNAME"), os.Getenv("CNI_NETNS"))
	}
	return 0
}

// bench is a Network with fake plugins one and two, and a pod's namespace.
type bench struct {
	*testing.T
	dir string
	net *Network
	pid int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	testenv.Require(t, testenv.Root)
	b := &bench{T: t, dir: t.TempDir()}
	for _, d := range []string{"conf", "bin"} {
		if err := os.Mkdir(filepath.Join(b.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if err := os.Symlink(exe, filepath.Join(b.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	t.Cleanup(func() { b.net.Close() })
	cmd := exec.Command("sleep", "1000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if left, _ := os.ReadDir(filepath.Join(b.dir, "netns")); len(left) > 0 {
			t.Errorf("left behind %v", left)
		}
		if left, _ := filepath.Glob(filepath.Join(b.dir, "*", "attachment", "*")); len(left) > 0 {
			t.Errorf("left behind %v", left)
		}
	})
	return b
}

// open begins the life of a daemon.
func (b *bench) open() {
	b.Helper()
	records, err := store.Open(filepath.Join(b.dir, "records"))
	if err != nil {
		b.Fatal(err)
	}
	b.net, err = Open(Config{
		ConfDir: filepath.Join(b.dir, "conf"), BinDirs: []string{filepath.Join(b.dir, "bin")}, CacheDir: filepath.Join(b.dir, "cache"),
		Records: records, PathDir: filepath.Join(b.dir, "netns"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
}

// conf writes a configuration.
func (b *bench) conf(file string, list map[string]any) {
	b.Helper()
	text, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "conf", file), text, 0o600); err != nil {
		b.Fatal(err)
	}
}

// list is a network of the fake plugins one and two.
func (b *bench) list(name, version string, change func(one, two map[string]any)) map[string]any {
	one := map[string]any{"type": "one", "log": filepath.Join(b.dir, "log")}
	two := map[string]any{"type": "two", "log": filepath.Join(b.dir, "log")}
	if change != nil {
		change(one, two)
	}
	return map[string]any{"name": name, "cniVersion": version, "plugins": []any{one, two}}
}

// lines returns what plugins have logged since the last time.
func (b *bench) lines() []string {
	b.Helper()
	path := filepath.Join(b.dir, "log")
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		b.Fatal(err)
	}
	_ = os.Remove(path)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (b *bench) attachment() pod.Attachment {
	return pod.Attachment{PodID: "0123abcd", Name: "foo", Namespace: "default", Pid: b.pid, Spec: &spec.Pod{Name: "foo", UID: "u-1"}}
}
