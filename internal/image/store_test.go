package image

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/testenv"
)

func TestResolve(t *testing.T) {
	s := openStore(t)
	a := mustImport(t, s, "nginx", file("a", "a"))
	b := mustImport(t, s, "localhost:5000/b:v1", file("b", "b"))
	hex := strings.TrimPrefix(a.ID, "sha256:")
	for _, test := range []struct{ name, in, want string }{
		{"short", "nginx", a.ID},
		{"full", "docker.io/library/nginx:latest", a.ID},
		{"port", "localhost:5000/b:v1", b.ID},
		{"ID", a.ID, a.ID},
		{"hex", hex, a.ID},
		{"prefix", hex[:12], a.ID},
		{"prefix of the ID", "sha256:" + hex[:12], a.ID},
	} {
		t.Run(test.name, func(t *testing.T) {
			img, err := s.Resolve(t.Context(), test.in)
			if err != nil || img.ID != test.want {
				t.Errorf("Resolve(%q) = %s, %v; want %s", test.in, img.ID, err, test.want)
			}
		})
	}
	for _, test := range []struct {
		name, in, want string
		kind           fault.Kind
	}{
		{"other tag", "nginx:1", `"carob image ls"`, fault.NotFound},
		{"unknown ID", strings.Repeat("0", 64), "not in the local store", fault.NotFound},
		{"unknown prefix", "sha256:000000000000", "not in the local store", fault.NotFound},
		{"no reference", "NGINX", "reference", fault.Invalid},
		{"empty", "", "empty", fault.Invalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := s.Resolve(t.Context(), test.in)
			wantFault(t, err, test.kind, test.want)
		})
	}
	t.Run("ambiguous", func(t *testing.T) {
		seen := map[byte]bool{hex[0]: true}
		for i := 0; ; i++ { // at most 17 images share 16 first digits
			img := mustImport(t, s, "", file(fmt.Sprint("f", i), ""))
			c := strings.TrimPrefix(img.ID, "sha256:")[0]
			if seen[c] {
				_, err := s.Resolve(t.Context(), "sha256:"+string(c))
				wantFault(t, err, fault.Invalid, "several")
				return
			}
			seen[c] = true
		}
	})
	t.Run("a name before a prefix", func(t *testing.T) {
		if err := s.Tag(t.Context(), b.ID, hex[:6]); err != nil {
			t.Fatal(err)
		}
		if img, err := s.Resolve(t.Context(), hex[:6]); err != nil || img.ID != b.ID {
			t.Errorf("%s, %v; want %s", img.ID, err, b.ID)
		}
	})
}

func TestTagAndRemove(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "a:1", file("a", "a"))
	if err := s.Tag(t.Context(), "a:1", "quay.io/b"); err != nil {
		t.Fatal(err)
	}
	got, _ := s.Resolve(t.Context(), "a:1")
	if diff := cmp.Diff([]string{"a:1", "quay.io/b:latest"}, got.Names); diff != "" {
		t.Error(diff)
	}
	wantFault(t, s.Tag(t.Context(), "nothing", "c"), fault.NotFound, "nothing")
	wantFault(t, s.Tag(t.Context(), "a:1", "C"), fault.Invalid, `"C"`)

	removed, err := s.Remove(t.Context(), "a:1")
	if diff := cmp.Diff([]string{"a:1"}, removed); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := s.NewRootfs(t.Context(), "c1", img.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, err = s.Remove(t.Context(), "quay.io/b")
	wantFault(t, err, fault.Conflict, "container c1")
	if _, err := s.Resolve(t.Context(), "quay.io/b"); err != nil {
		t.Errorf("the refused removal took something: %v", err)
	}
	if err := s.RemoveRootfs(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	removed, err = s.Remove(t.Context(), "quay.io/b")
	if diff := cmp.Diff([]string{"quay.io/b:latest", img.ID}, removed); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	_, err = s.Remove(t.Context(), img.ID)
	wantFault(t, err, fault.NotFound, "not in the local store")
	_, err = s.NewRootfs(t.Context(), "c1", img.ID, 0)
	wantFault(t, err, fault.NotFound, "not in the local store")
}

func TestRemoveByIDTakesAllNames(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "a", file("a", "a"))
	s.Tag(t.Context(), "a", "b")
	removed, err := s.Remove(t.Context(), img.ID[:20])
	if diff := cmp.Diff([]string{"a:latest", "b:latest", img.ID}, removed); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestNameMovesToNewerImage(t *testing.T) {
	s := openStore(t)
	old := mustImport(t, s, "a", file("a", "1"))
	mustImport(t, s, "a", file("a", "2"))
	got, err := s.Resolve(t.Context(), old.ID)
	if err != nil || len(got.Names) != 0 || len(s.List()) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestOpenAgain(t *testing.T) {
	s := openStore(t)
	img, err := s.ImportTar(t.Context(), "a", bytes.NewReader(makeTar(t, file("a", "a"))), v1.ImageConfig{Env: []string{"A=b"}, Labels: map[string]string{"k": "v"}})
	if err != nil {
		t.Fatal(err)
	}
	s.NewRootfs(t.Context(), "c1", img.ID, 0)
	again, err := Open(string(s.root))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.List(), again.List()); diff != "" {
		t.Error(diff)
	}
	_, err = again.Remove(t.Context(), "a")
	wantFault(t, err, fault.Conflict, "container c1")
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct{ name, index, want string }{
		{"damaged", `{"version":`, "damaged"},
		{"empty", ``, "damaged"},
		{"from the future", `{"version":99}`, "version 99"},
		{"null", `{"version":1,"names":null}`, "damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			os.WriteFile(filepath.Join(root, "index.json"), []byte(test.index), 0o600)
			if _, err := Open(root); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v; want %q", err, test.want)
			}
		})
	}
	_, err := Open("relative")
	wantFault(t, err, fault.Invalid, "absolute")
}

func TestRootfs(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "a", file("a", "a"))
	plan, err := s.NewRootfs(t.Context(), "c1", img.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(string(s.root), "rootfs/c1")
	want := Rootfs{Lower: []string{img.Layers[0], string(s.root) + "/base"}, Upper: dir + "/upper", Work: dir + "/work"}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Error(diff)
	}
	os.Chmod(plan.Upper, 0o700)
	os.WriteFile(filepath.Join(plan.Upper, "mine"), nil, 0o600)
	if again, err := s.NewRootfs(t.Context(), "c1", img.ID, 0); err != nil || !cmp.Equal(again, plan) {
		t.Errorf("again: %+v, %v", again, err)
	}
	if fi, _ := os.Stat(plan.Upper); fi.Mode().Perm() != 0o700 {
		t.Error("the second call changed what the container had set")
	}
	other := mustImport(t, s, "b", file("b", "b"))
	_, err = s.NewRootfs(t.Context(), "c1", other.ID, 0)
	wantFault(t, err, fault.Conflict, "c1")
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "-a", ".a", "a\x00", "ä", strings.Repeat("a", 129)} {
		_, err := s.NewRootfs(t.Context(), bad, img.ID, 0)
		wantFault(t, err, fault.Invalid, "container ID")
		if err := s.RemoveRootfs(t.Context(), bad); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := s.RemoveRootfs(t.Context(), "c1"); err != nil {
			t.Error(err)
		}
	}
	if left := listDir(t, filepath.Join(string(s.root), "rootfs")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRootfsFailureLeavesNothing(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "a", file("a", "a"))
	blocked := filepath.Join(string(s.root), "rootfs/c1")
	os.WriteFile(blocked, nil, 0o600) // a file where the directory goes
	if _, err := s.NewRootfs(t.Context(), "c1", img.ID, 0); err == nil {
		t.Error("no error")
	}
	if _, err := s.NewRootfs(t.Context(), "c1", img.ID, 0); err != nil {
		t.Errorf("the retry: %v", err)
	}
	s.RemoveRootfs(t.Context(), "c1")
	if _, err := s.Remove(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// TestRemoveRootfsWhateverIsInIt leaves in the upper directory what containers do.
func TestRemoveRootfsWhateverIsInIt(t *testing.T) {
	testenv.Require(t, testenv.Root)
	s := openStore(t)
	img := mustImport(t, s, "a", file("a", "a"))
	plan, err := s.NewRootfs(t.Context(), "c1", img.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	os.WriteFile(victim, nil, 0o600)
	deep := filepath.Join(plan.Upper, strings.Repeat("d/", 100))
	os.MkdirAll(deep, 0o755)
	os.Symlink(victim, filepath.Join(deep, "link"))
	os.Symlink(filepath.Dir(victim), filepath.Join(deep, "dirlink"))
	for _, name := range []string{"new\nline", "\xff\xfe", "-rf", "fixed"} {
		os.WriteFile(filepath.Join(deep, name), nil, 0)
		os.Chown(filepath.Join(deep, name), 100000, 100000)
	}
	os.Mkdir(filepath.Join(plan.Work, "work"), 0)
	os.Chmod(deep, 0)
	if !lock(t, filepath.Join(deep, "fixed")) || !lock(t, deep) {
		t.Log("this file system or host has no immutable flag")
	}
	if err := s.RemoveRootfs(t.Context(), "c1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

func TestSweep(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "a", file("a", "a"))
	s.NewRootfs(t.Context(), "kept", img.ID, 0)
	s.NewRootfs(t.Context(), "lost", img.ID, 0)
	litter := []string{"rootfs/half/upper", "layers/" + strings.Repeat("0", 64) + "/etc", "tmp/layer-1/tree", "tmp/archive-2"}
	for _, d := range litter {
		os.MkdirAll(filepath.Join(string(s.root), d), 0o700)
	}
	os.WriteFile(filepath.Join(string(s.root), "configs", strings.Repeat("0", 64)+".json"), nil, 0o600)
	os.WriteFile(filepath.Join(string(s.root), ".new-123"), nil, 0o600)
	os.WriteFile(filepath.Join(string(s.root), "tmp/file"), nil, 0o600)
	live, err := s.holds.temp("layer-")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(t.Context(), func(id string) bool { return id == "kept" }); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(live.dir); err != nil {
		t.Errorf("Sweep took a live import: %v", err)
	}
	live.close()
	if got := listDir(t, filepath.Join(string(s.root), "rootfs")); !cmp.Equal(got, []string{"kept"}) {
		t.Errorf("rootfs %v", got)
	}
	if got := listDir(t, string(s.root)); !cmp.Equal(got, []string{"base", "configs", "index.json", "layers", "mounts", "partial", "rootfs", "tars", "tmp"}) {
		t.Errorf("root %v", got)
	}
	if len(s.List()) != 1 {
		t.Error("Sweep took an image")
	}
}

// TestSweepBesideImports sweeps while images come and go.
func TestSweepBesideImports(t *testing.T) {
	s := openStore(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint("i", i)
			img, err := s.ImportTar(t.Context(), name, bytes.NewReader(makeTar(t, file(name, "x"))), v1.ImageConfig{})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := os.Stat(filepath.Join(img.Layers[0], name)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := s.Sweep(t.Context(), func(string) bool { return true }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// fakeToolbox is a script that does what the toolbox binary does when asked.
func fakeToolbox(t *testing.T, path, content, exit string) {
	t.Helper()
	body := path + ".tar"
	if err := os.WriteFile(body, makeTar(t, file("bin/sh", content)), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n[ \"$1\" = --rootfs ] || exit 9\nwhile read -r l; do :; done <" + body + "\nexec 3<" + body + "\n/bin/cat <&3\n" + exit + "\n# " + content
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureToolbox(t *testing.T) {
	s := openStore(t)
	binary := filepath.Join(t.TempDir(), "toolbox")
	fakeToolbox(t, binary, "one", "exit 0")
	first, err := s.EnsureToolbox(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Pinned || first.Names[0] != ToolboxName || first.Config.Cmd[0] != "/bin/sh" || first.Created.IsZero() {
		t.Errorf("image %+v", first)
	}
	again, err := s.EnsureToolbox(t.Context(), binary)
	if err != nil || !cmp.Equal(first, again) {
		t.Errorf("again: %v %s", err, cmp.Diff(first, again))
	}
	t.Run("touched", func(t *testing.T) {
		os.Chtimes(binary, time.Time{}, stamp)
		same, err := s.EnsureToolbox(t.Context(), binary)
		if err != nil || same.ID != first.ID || len(s.List()) != 1 {
			t.Errorf("%+v, %v", same, err)
		}
	})
	if _, err := s.NewRootfs(t.Context(), "c1", first.ID, 0); err != nil {
		t.Fatal(err)
	}
	fakeToolbox(t, binary, "two, longer", "exit 0")
	second, err := s.EnsureToolbox(t.Context(), binary)
	if err != nil || second.ID == first.ID || len(s.List()) != 2 {
		t.Errorf("rebuilt %+v, %v; %d images", second, err, len(s.List()))
	}
	s.RemoveRootfs(t.Context(), "c1")
	if err := s.Sweep(t.Context(), func(string) bool { return true }); err != nil || len(s.List()) != 1 {
		t.Errorf("the older one stays: %v, %d images", err, len(s.List()))
	}
	t.Run("removed by name", func(t *testing.T) {
		if _, err := s.Remove(t.Context(), ToolboxName); err != nil {
			t.Fatal(err)
		}
		if img, err := s.EnsureToolbox(t.Context(), binary); err != nil || img.ID != second.ID {
			t.Errorf("%+v, %v", img, err)
		}
	})
	t.Run("fails", func(t *testing.T) {
		fakeToolbox(t, binary, "three, longest of all", "echo broken >&2; exit 3")
		if _, err := s.EnsureToolbox(t.Context(), binary); err == nil || !strings.Contains(err.Error(), "exit status 3: broken") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("missing", func(t *testing.T) {
		_, err := s.EnsureToolbox(t.Context(), binary+"x")
		wantFault(t, err, fault.NotFound, "no such file")
	})
}

func BenchmarkNewRootfs(b *testing.B) {
	s := openStore(b)
	img := mustImport(b, s, "a", file("a", "a"))
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprint("c", i)
		if _, err := s.NewRootfs(b.Context(), id, img.ID, 0); err != nil {
			b.Fatal(err)
		}
		if err := s.RemoveRootfs(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

// A bare name finds carob's own image when no other has it.
func TestOwnImagesHaveShortNames(t *testing.T) {
	st := &state{index: index{Names: map[string]string{ToolboxName: "sha256:aa", "docker.io/library/other:latest": "sha256:bb"}}}
	for name, want := range map[string]string{"toolbox": "sha256:aa", "toolbox:latest": "sha256:aa", "other": "sha256:bb", "toolbox:2": "", "x/toolbox": ""} {
		if id, _, _ := st.find(name); id != want {
			t.Errorf("%s: got %q, want %q", name, id, want)
		}
	}
}

func TestMountedImagesStay(t *testing.T) {
	s := openStore(t)
	img := mustImport(t, s, "data", file("f", "x"))
	for range 2 { // it is idempotent
		lower, err := s.MountImage(t.Context(), "c", img.ID)
		if err != nil || lower != img.Layers[0] {
			t.Fatal(lower, err)
		}
	}
	_, err := s.Remove(t.Context(), "data")
	wantFault(t, err, fault.Conflict, "in use by container c")
	again, err := Open(string(s.root)) // the next daemon knows
	if err != nil {
		t.Fatal(err)
	}
	_, err = again.Remove(t.Context(), "data")
	wantFault(t, err, fault.Conflict, "in use by container c")
	if err := s.RemoveRootfs(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), "data"); err != nil {
		t.Error(err)
	}
	_, err = s.MountImage(t.Context(), "c", img.ID)
	wantFault(t, err, fault.NotFound, img.ID)
	_, err = s.MountImage(t.Context(), "../c", img.ID)
	wantFault(t, err, fault.Invalid, "../c")
}

// TestRenewed: which images Kubernetes would pull again by default.
func TestRenewed(t *testing.T) {
	const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		name, digests string
		want          bool
	}{
		{"nginx", "docker.io/library/nginx" + digest, true},
		{"nginx:latest", "docker.io/library/nginx" + digest, true},
		{"docker.io/library/nginx", "docker.io/library/nginx" + digest, true},
		{"nginx:1", "docker.io/library/nginx" + digest, false},
		{"nginx" + digest, "docker.io/library/nginx" + digest, false},
		{"nginx:latest" + digest, "docker.io/library/nginx" + digest, false},
		{"nginx", "quay.io/library/nginx" + digest, false},
		{"ngin", "docker.io/library/nginx" + digest, false},
		{"nginx", "", false},
		{"carob.local/toolbox", "", false},
		{digest[1:], "docker.io/library/nginx" + digest, false},
	} {
		if got := (Image{Digests: strings.Fields(tt.digests)}).Renewed(tt.name); got != tt.want {
			t.Errorf("%s of %q: %v", tt.name, tt.digests, got)
		}
	}
}
