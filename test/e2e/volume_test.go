package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// refuses runs a command that must fail with 1 and say a word.
func (h *host) refuses(word string, args ...string) {
	h.Helper()
	if r := h.code(1, args...); !strings.Contains(r.err, word) {
		h.Errorf("%q says %q, want %q", args, r.err, word)
	}
}

// TestVolumes: named volumes are made, listed and removed, but not from under a container.
func TestVolumes(t *testing.T) {
	h := startOwn(t)
	if out := h.ok("volume", "ls", "-q"); out != "" {
		t.Errorf("volumes before there are any: %q", out)
	}
	if out := h.ok("volume", "create", "data") + " " + h.ok("volume", "create", "data"); out != "data data" {
		t.Errorf("create: %q", out)
	}
	user := h.background("user", "-v", "data:/data", "-v", "/own", image, "sleep", "1000")
	h.ok("exec", user, "sh", "-c", "mkdir -p /data/a/b && echo kept > /data/a/b/f && chown 1000:1000 /data/a/b/f")
	dir := filepath.Join(h.dir, "lib/volumes/data")
	if out := h.ok("volume", "inspect", "data", "--format", "{{.Driver}} {{.Mountpoint}} {{.Containers}}"); out != "local "+dir+" ["+user+"]" {
		t.Errorf("inspect: %s", out)
	}
	own := strings.TrimSpace(h.ok("volume", "ls", "--format", "{{if .Anonymous}}{{.Name}}{{end}}"))
	for _, when := range []string{"running", "running, after a crash", "stopped"} {
		switch when {
		case "running, after a crash":
			h.kill()
		case "stopped":
			h.ok("stop", "-t", "0", user)
		}
		h.refuses("volume data: in use by "+user, "volume", "rm", "-f", "data")
		h.refuses("volume "+own+": in use by "+user, "volume", "rm", own)
		if out := h.ok("volume", "ls", "-q", "--filter", "dangling=true"); out != "" {
			t.Errorf("%s, dangling: %q", when, out)
		}
		h.ok("volume", "prune", "-af")
	}
	if out := h.ok("df"); !strings.Contains(out, "Volumes      2       2") {
		t.Errorf("df:\n%s", out)
	}
	h.ok("rm", user)
	if out := h.ok("volume", "ls", "-q"); out != "data" {
		t.Errorf("after the container: %q", out)
	}
	if out := h.ok("run", "--rm", "-v", "data:/data", image, "cat", "/data/a/b/f"); out != "kept" {
		t.Errorf("the next container reads %q", out)
	}
	if out := h.ok("volume", "rm", "data"); out != "data" {
		t.Errorf("rm: %q", out)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("after rm: %v", err)
	}
	h.refuses("volume data: no such volume", "volume", "rm", "data")
	h.ok("volume", "rm", "-f", "data")
}

// TestVolumePrune: named volumes go with -a, and not without a yes.
func TestVolumePrune(t *testing.T) {
	h := startOwn(t)
	chosen := h.ok("volume", "create")
	h.ok("run", "--rm", "-v", "data:/x", image, "dd", "if=/dev/zero", "of=/x/f", "bs=1k", "count=100")
	h.ok("volume", "prune", "-f")
	if out := h.ok("volume", "ls", "-q", "--filter", "dangling=true", "--filter", "name=dat", "--filter", "name="+chosen); len(strings.Fields(out)) != 2 {
		t.Errorf("ls after a prune without -a: %q", out)
	}
	if r := h.feed("n\n", "volume", "prune", "-a"); r.code != 1 {
		t.Errorf("pruned without a yes: %+v", r)
	}
	if r := h.feed("y\n", "volume", "prune", "-a"); r.code != 0 || !strings.Contains(r.out, "data\n") || !strings.Contains(r.out, chosen+"\n") || strings.Contains(r.out, "space: 0B") {
		t.Errorf("prune -a: %+v", r)
	}
	if out := h.ok("volume", "ls", "-q"); out != "" {
		t.Errorf("left: %q", out)
	}
	h.refuses("dangling, driver, name", "volume", "ls", "--filter", "label=x")
	h.refuses("only driver is local", "volume", "ls", "--filter", "driver=nfs")
	h.refuses("true or false", "volume", "ls", "--filter", "dangling=maybe")
	h.refuses("volume name", "volume", "create", "../x")
	h.refuses("anonymous", "volume", "create", strings.Repeat("0", 64))
	h.refuses("empty", "volume", "create", "")
	h.refuses("volume nobody: no such volume", "volume", "inspect", "nobody")
}

// TestVolumeStubborn: what is mounted in a volume keeps it whole; a file that does not go is
// named, the rest is not used by anybody, and removing goes on.
func TestVolumeStubborn(t *testing.T) {
	h := startOwn(t)
	h.ok("run", "--rm", "-v", "data:/x", image, "sh", "-c", "mkdir /x/mnt && touch /x/mnt/locked && ln -s / /x/root")
	dir, outside := filepath.Join(h.dir, "lib/volumes/data"), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "mnt")
	if err := unix.Mount(outside, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	h.refuses("something is mounted on "+at, "volume", "rm", "data")
	if err := unix.Unmount(at, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(outside, "f")); err != nil {
		t.Errorf("what was mounted: %v", err)
	}
	locked := filepath.Join(at, "locked")
	if out, err := exec.Command("chattr", "+i", locked).CombinedOutput(); err != nil {
		t.Skipf("chattr: %v: %s", err, out)
	}
	r := h.code(1, "volume", "rm", "data")
	rest := filepath.Join(h.dir, "lib/volumes/.removing/data/mnt/locked")
	t.Cleanup(func() { _ = exec.Command("chattr", "-i", rest).Run() }) // gone when all went well
	if !strings.Contains(r.err, rest) || !strings.Contains(r.err, "immutable") {
		t.Errorf("rm says %q", r.err)
	}
	if out := h.ok("volume", "ls"); !strings.Contains(out, "(being removed)") {
		t.Errorf("ls:\n%s", out)
	}
	if r := h.code(125, "run", "--rm", "-v", "data:/x", image, "true"); !strings.Contains(r.err, "volume data: is being removed") {
		t.Errorf("run says %q", r.err)
	}
	if out, err := exec.Command("chattr", "-i", rest).CombinedOutput(); err != nil {
		t.Fatalf("chattr: %v: %s", err, out)
	}
	h.ok("volume", "rm", "data")
	if out := h.ok("run", "--rm", "-v", "data:/x", image, "ls", "/x"); out != "" {
		t.Errorf("a new volume has %q", out)
	}
	h.ok("volume", "rm", "data")
}
