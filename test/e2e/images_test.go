package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/testenv"
)

// imageID returns the whole ID of an image.
func (h *host) imageID(ref string) string {
	h.Helper()
	return strings.TrimSpace(h.ok("image", "inspect", "--format", "{{.Id}}", ref))
}

// background runs a container of any image and returns its name.
func (h *host) background(kind string, args ...string) string {
	h.Helper()
	name := h.name(kind)
	h.ok(append([]string{"run", "-d", "--name", name}, args...)...)
	h.Cleanup(func() { h.run("rm", "-f", name) })
	return name
}

// TestSaveAndLoad writes archives in every format and reads them back.
func TestSaveAndLoad(t *testing.T) {
	h := startOwn(t)
	dir := t.TempDir()
	id := h.imageID("toolbox")
	h.ok("tag", "toolbox", "saved:1")
	for _, format := range []string{"docker-archive", "oci-archive", "oci-dir"} {
		at := filepath.Join(dir, format)
		h.ok("save", "--format", format, "-o", at, "saved:1")
		h.ok("rmi", "saved:1")
		if out := h.ok("load", "-i", at); strings.TrimSpace(out) != "Loaded image: saved:1" {
			t.Errorf("%s: %s", format, out)
		}
		if got := h.imageID("saved:1"); got != id {
			t.Errorf("%s: the image came back as %s, not %s", format, got, id)
		}
	}
	// Through pipes, as people do.
	sh := exec.Command("sh", "-c", `"$1" save saved:1 | gzip | "$1" load -q`, "sh", filepath.Join(h.dir, "bin/carob"))
	sh.Env = h.env
	if out, err := sh.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s, %v", out, err)
	}
	if r := h.code(1, "save", "-o", dir, "saved:1"); !strings.Contains(r.err, dir) {
		t.Errorf("saved over a directory: %s", r.err)
	}
	h.code(1, "save", "--format", "oci-dir", "-o", dir, "saved:1")
	h.code(1, "save", "--format", "oci-dir", "saved:1")
	h.code(1, "save", "-o", filepath.Join(dir, "none"), "none")
	full := h.cmd("save", "saved:1")
	device, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	full.Stdout = device
	if err := full.Run(); err == nil {
		t.Error("saving to a full disk succeeded")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%d entries, three archives were made: %v", len(entries), err)
	}
	h.ok("rmi", "saved:1")
}

// TestCommitDiffExport follows a container's changes into an image and an archive.
func TestCommitDiffExport(t *testing.T) {
	h := start(t)
	c := h.background("changes", "-e", "A=1", image, "sh", "-c",
		`echo new >/new; ln /new /hard; ln -s new /soft; chown 5:6 /new; rm /bin/nc; rm -r /home; mkdir /home; echo x >/home/own; touch /ready; sleep 1000`)
	h.eventually("the changes", func() bool { return h.run("exec", c, "test", "-e", "/ready").code == 0 })
	want := `C /bin
D /bin/nc
A /hard
C /home
D /home/app
A /home/own
A /new
A /ready
A /soft`
	if d := cmp.Diff(want, h.ok("diff", c)); d != "" {
		t.Error(d)
	}
	made, flat := h.name("committed")+":1", h.name("flat")+":1"
	h.ok("commit", "-m", "why", "-c", `CMD ["sh","-c","echo $A; cat /new"]`, c, made)
	if out := h.ok("run", "--rm", made); out != "1\nnew" {
		t.Errorf("the committed image says %q", out)
	}
	looks := `stat -c '%u %g %h' /new /hard; readlink /soft; ls -a /home; test -e /bin/nc || echo gone`
	const seen = "5 6 2\n5 6 2\nnew\n.\n..\nown\ngone"
	if out := h.ok("run", "--rm", made, "sh", "-c", looks); out != seen {
		t.Errorf("in the committed image: %q", out)
	}
	if out := h.ok("history", "--format", "{{.Comment}}", made); !strings.HasPrefix(out, "why") {
		t.Errorf("history %q", out)
	}
	archive := filepath.Join(t.TempDir(), "root.tar")
	h.ok("export", "-o", archive, c)
	h.ok("stop", "-t", "0", c)
	stopped := exec.Command("cmp", "-", archive)
	stopped.Stdin = strings.NewReader(h.ok("export", c))
	if out, err := stopped.CombinedOutput(); err != nil {
		t.Errorf("exported when stopped it differs: %s", out)
	}
	h.ok("import", archive, flat)
	if out := h.ok("run", "--rm", flat, "sh", "-c", looks); out != seen {
		t.Errorf("in the imported image: %q", out)
	}
	if out := h.ok("diff", c); out != want {
		t.Errorf("stopped it differs by %q", out)
	}
	for _, wrong := range [][]string{{"diff", "none"}, {"commit", "none"}, {"export", "none"}, {"commit", c, "Bad Name"}, {"commit", "-c", "FROM x", c}} {
		h.code(1, wrong...)
	}
	h.ok("rm", c)
	h.ok("rmi", made, flat)
}

// TestImageHousekeeping lists, removes and prunes.
func TestImageHousekeeping(t *testing.T) {
	h := startOwn(t)
	for _, name := range []string{"one:1", "one:2", "two:1"} {
		h.ok("tag", "toolbox", name)
	}
	c := h.background("user", "two:1", "sleep", "1000")
	made := strings.TrimSpace(h.ok("commit", c)) // an image without a name
	if out := h.ok("images", "-q", "--no-trunc", "--filter", "dangling=true"); strings.TrimSpace(out) != made {
		t.Errorf("dangling: %q, not %s", out, made)
	}
	if out := h.ok("images", "one", "--format", "{{.Tag}}"); out != "1\n2" {
		t.Errorf("by pattern: %q", out)
	}
	h.code(1, "images", "--filter", "no=thing")
	if r := h.code(1, "rmi", h.imageID("one:1")); !strings.Contains(r.err, "several repositories") {
		t.Errorf("removed by ID: %s", r.err)
	}
	if out := h.ok("rmi", "one:1", "one:2"); out != "Untagged: one:1\nUntagged: one:2" {
		t.Errorf("rmi: %q", out)
	}
	if out := h.feed("n\n", "image", "prune"); out.code != 1 {
		t.Errorf("pruned without a yes: %+v", out)
	}
	if out := h.feed("y\n", "image", "prune"); out.code != 0 || !strings.Contains(out.out, "Deleted: "+made) {
		t.Errorf("prune: %+v", out)
	}
	h.ok("image", "prune", "-af")
	if out := h.ok("images", "--format", "{{.Repository}}"); out != "carob.local/toolbox\ntwo" {
		t.Errorf("left: %q", out) // one is pinned and in use
	}
	if out := h.ok("df"); !strings.Contains(out, "Images       1       1") {
		t.Errorf("df: %s", out)
	}
	h.ok("rm", "-f", c)
}

// TestPodmansImages runs what podman builds, in each format that it saves, and lets
// podman build on an image of ours.
func TestPodmansImages(t *testing.T) {
	testenv.Require(t, testenv.Podman)
	h := startOwn(t)
	dir := t.TempDir()
	podman := func(args ...string) string {
		t.Helper()
		args = append([]string{"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"}, args...)
		out, err := exec.Command("podman", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("podman %s: %v\n%s", args[8:], err, out)
		}
		return string(out)
	}
	h.ok("save", "-o", dir+"/ours.tar", "toolbox")
	podman("load", "-i", dir+"/ours.tar")
	for name, text := range map[string]string{
		"f": "hello\n",
		"Containerfile": "FROM carob.local/toolbox\nCOPY f /data/f\nCOPY f /data/g\nENV A=1\n" +
			"HEALTHCHECK CMD true\nCMD [\"sh\",\"-c\",\"cat /data/f; echo $A\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	podman("build", "--isolation", "chroot", "--format", "docker", "-q", "-t", "made:1", dir)
	for _, format := range []string{"docker-archive", "oci-archive", "oci-dir"} {
		at := filepath.Join(dir, "p-"+format)
		podman("save", "--format", format, "-o", at, "made:1")
		h.ok("load", "-i", at)
		if out := h.ok("run", "--rm", "localhost/made:1"); out != "hello\n1" {
			t.Errorf("%s: %q", format, out)
		}
		h.ok("save", "-o", dir+"/back.tar", "localhost/made:1")
		if out := podman("load", "-i", dir+"/back.tar"); !strings.Contains(out, "localhost/made:1") {
			t.Errorf("%s: podman loads it back: %s", format, out)
		}
		h.ok("rmi", "localhost/made:1")
	}
}

// TestImageMount shows the files of one image to containers of another.
func TestImageMount(t *testing.T) {
	h := startOwn(t)
	c := h.background("maker", image, "sh", "-c", "mkdir -p /data/deep; echo one >/data/f; chmod 640 /data/f; echo two >/data/deep/g; sleep 1000")
	h.eventually("the files", func() bool { return h.run("exec", c, "test", "-s", "/data/deep/g").code == 0 })
	h.ok("commit", c, "layers:2")
	flat := exec.Command("sh", "-c", `"$1" export "$2" | "$1" import - layers:1`, "sh", filepath.Join(h.dir, "bin/carob"), c)
	flat.Env = h.env
	if out, err := flat.CombinedOutput(); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	h.ok("rm", "-f", c)
	look := "cat /m/f /m/deep/g; stat -c '%u %a' /m/f; touch /m/x 2>/dev/null || echo read-only"
	const want = "one\ntwo\n0 640\nread-only"
	for _, from := range []string{"layers:1", "layers:2"} {
		for _, users := range []string{"private", "host"} {
			mount := "type=image,source=" + from + ",target=/m,image-subpath=data"
			if out := h.ok("run", "--rm", "--userns", users, "--mount", mount, image, "sh", "-c", look); out != want {
				t.Errorf("%s, user namespace %s: %q", from, users, out)
			}
		}
		if out := h.ok("run", "--rm", "--mount", "type=image,source="+from+",target=/m", image, "ls", "/m/data"); out != "deep\nf" {
			t.Errorf("%s whole: %q", from, out)
		}
		if out := h.ok("run", "--rm", "--mount", "type=image,source="+from+",target=/m,image-subpath=data/f", image, "cat", "/m"); out != "one" {
			t.Errorf("%s, one file: %q", from, out)
		}
	}
	user := h.background("user", "--mount", "type=image,source=layers:1,target=/m", image, "sleep", "1000")
	if r := h.code(1, "rmi", "layers:1"); !strings.Contains(r.err, "in use by container") {
		t.Errorf("removed an image that is mounted: %s", r.err)
	}
	h.ok("stop", "-t", "0", user)
	h.ok("start", user) // the mount is made again
	h.ok("exec", user, "test", "-e", "/m/data/f")
	h.ok("rm", "-f", user)
	h.ok("rmi", "layers:1", "layers:2")
	for _, wrong := range []string{
		"type=image,target=/m", "type=image,source=toolbox,target=/m,image-subpath=../etc", "type=image,source=toolbox,target=/m,image-subpath=none",
		"type=image,source=no/such/image,target=/m", "type=image,source=toolbox,target=/m,bind-propagation=shared",
	} {
		if r := h.run("run", "--rm", "--pull", "never", "--mount", wrong, image, "true"); r.code != 125 {
			t.Errorf("%s: code %d, %s", wrong, r.code, r.err)
		}
	}
}

// TestImageVolume is a manifest's volume of the kind image.
func TestImageVolume(t *testing.T) {
	h := startOwn(t)
	pod := h.name("volume")
	h.apply(`{apiVersion: v1, kind: Pod, metadata: {name: `+pod+`}, spec: {
		volumes: [{name: files, image: {reference: carob.local/toolbox, pullPolicy: Never}}],
		containers: [{name: a, image: carob.local/toolbox, command: [sleep, "1000"], volumeMounts: [
			{name: files, mountPath: /whole}, {name: files, mountPath: /part, subPath: etc}]}]}}`, pod)
	if out := h.ok("exec", pod+"/a", "sh", "-c", "cat /part/os-release | head -n 1; /whole/bin/ls / || echo no program"); !strings.HasSuffix(out, "no program") || !strings.Contains(out, "=") {
		t.Errorf("got %q", out)
	}
	h.code(1, "rmi", "carob.local/toolbox")
	h.ok("delete", pod)
}
