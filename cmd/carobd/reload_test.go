package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"carob/internal/api"
	"carob/internal/config"
	"carob/internal/fault"
)

// read is the settings of a daemon with this file and no flags but those in said.
func read(t *testing.T, said settings, text string) (settings, error) {
	t.Helper()
	t.Setenv("PATH", t.TempDir()) // no runtimes of the host's
	said.config = filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(said.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return said.complete()
}

func mustRead(t *testing.T, text string) settings {
	t.Helper()
	s, err := read(t, settings{}, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMerge(t *testing.T) {
	first := mustRead(t, "")
	const text = `
root = "/a"
log-level = "debug"
registry-config = "/b"
cri-socket = "none"
[network]
driver = "builtin"
[handlers.x]
path = "/x"
[metrics]
address = "127.0.0.1:1"
[tracing]
sampling = 0.5
`
	next := mustRead(t, text)
	now, done := merge(first, next)
	want := api.Reloaded{
		Changed: []string{"log-level", "registry-config", "handlers"},
		Restart: []string{"root", "cri-socket", "network", "metrics", "tracing"},
	}
	if !reflect.DeepEqual(done, want) {
		t.Errorf("got %+v, want %+v", done, want)
	}
	if now.root != first.root || now.registries != "/b" || now.handlers["x"].Path != "/x" {
		t.Errorf("in force: %+v", now)
	}
	if _, again := merge(now, next); len(again.Changed) != 0 || !reflect.DeepEqual(again.Restart, want.Restart) {
		t.Errorf("again: %+v; what waits is told until it is done", again)
	}
	if _, back := merge(now, first); !reflect.DeepEqual(back, api.Reloaded{Changed: want.Changed}) {
		t.Errorf("back: %+v", back)
	}
}

func TestFlagsGoFirst(t *testing.T) {
	said := settings{logLevel: "warn", cri: criConfig{socket: "/k"}, handlerFlags: []string{"x=/flag"}}
	got, err := read(t, said, "log-level='debug'\ncri-socket='/file'\ncri-streams='10.0.0.1:1'\n[handlers.x]\npath='/file'\n")
	if err != nil || got.logLevel != "warn" || got.cri != (criConfig{"/k", "10.0.0.1:1"}) || got.handlers["x"].Path != "/flag" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []settings{{logLevel: "loud"}, {handlerFlags: []string{"x"}}} {
		if _, err := read(t, bad, ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestEverySettingIsReloaded: a key of the file that reload does not know would be taken
// for unchanged for ever.
func TestEverySettingIsReloaded(t *testing.T) {
	known := map[string]bool{}
	for _, s := range allSettings() {
		known[s.key] = true
	}
	file := reflect.TypeFor[config.File]()
	for i := range file.NumField() {
		if key := file.Field(i).Tag.Get("toml"); !known[key] {
			t.Errorf("%s is not among the settings", key)
		}
	}
	if len(known) != file.NumField() {
		t.Errorf("%d settings, %d keys", len(known), file.NumField())
	}
}
