package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carob/internal/api/client"
	"carob/internal/pod"
)

// An image that is not here is pulled before it runs, as --pull says.
func TestRunPulls(t *testing.T) {
	for _, c := range []struct {
		args  []string
		here  bool
		code  int
		pulls int32
	}{
		{[]string{"run", "far/img"}, false, 0, 1},
		{[]string{"run", "far/img"}, true, 0, 0},
		{[]string{"run", "--pull", "always", "far/img"}, true, 0, 1},
		{[]string{"run", "--pull", "never", "far/img"}, false, 125, 0},
		{[]string{"run", "-d", "far/img"}, false, 0, 1},
		{[]string{"create", "far/img"}, false, 0, 1},
		{[]string{"run", "none"}, false, 125, 1},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			f := newFake(func(pod.Streams, <-chan int) int { return 0 })
			f.pulled.Store(c.here)
			got := line(t, f, "", c.args...)
			if got.code != c.code || f.asked.Load() != c.pulls {
				t.Errorf("%+v after %d pulls; want code %d and %d pulls", got, f.asked.Load(), c.code, c.pulls)
			}
		})
	}
}

func TestPullShowsProgress(t *testing.T) {
	f := newFake(nil)
	got := line(t, f, "", "pull", "far/img")
	if got.code != 0 || got.out != "sha256:2\n" || !strings.Contains(got.err, "0123456789ab: downloading 2MB\n") {
		t.Errorf("%+v", got)
	}
	if got := line(t, f, "", "pull", "-q", "far/img"); got.err != "" || got.out != "sha256:2\n" {
		t.Errorf("quiet: %+v", got)
	}
}

// Credentials that the registry takes are kept in Docker's file, readable by its owner
// alone, and go again; wrong ones leave no trace.
func TestLogin(t *testing.T) {
	f := newFake(nil)
	home := t.TempDir()
	path := filepath.Join(t.TempDir(), "sock")
	defer serve(t, f, path)()
	do := func(stdin string, args ...string) result {
		return at(t, home, func(context.Context) (*client.Client, error) { return client.Dial(path) }, stdin, args...)
	}
	file := filepath.Join(home, ".docker", "config.json")
	if got := do("wrong\n", "login", "-u", "me", "--password-stdin", "far.example"); got.code != 1 {
		t.Errorf("wrong password: %+v", got)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a refused login left a file: %v", err)
	}
	if got := do("secret\n", "login", "-u", "me", "--password-stdin", "https://far.example/v2/"); got.code != 0 || strings.Contains(got.err+got.out, "secret") {
		t.Fatalf("login: %+v", got)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("config.json: %v, %v; want 0600", info, err)
	}
	if b, _ := os.ReadFile(file); !strings.Contains(string(b), `"far.example"`) {
		t.Errorf("config.json: %s", b)
	}
	if got := do("", "logout", "far.example"); got.code != 0 {
		t.Errorf("logout: %+v", got)
	}
	if got := do("", "logout", "far.example"); got.code != 1 || !strings.Contains(got.err, "no credentials") {
		t.Errorf("logout again: %+v", got)
	}
}
