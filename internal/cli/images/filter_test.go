package images

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/spec"
)

func TestFilters(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	image := func(id string, age time.Duration, labels map[string]string, names ...string) api.Image {
		return api.Image{ID: "sha256:" + id, Created: now.Add(-age), Names: names, Config: spec.ImageConfig{Labels: labels}}
	}
	all := []api.Image{
		image("aa", time.Hour, map[string]string{"env": "prod"}, "web:1", "web:2"),
		image("bb", 48*time.Hour, map[string]string{"env": "test"}, "quay.io/team/db:latest"),
		image("cc", 72*time.Hour, nil),
	}
	for _, c := range []struct {
		words, patterns, want string
	}{
		{"", "", "web:1 web:2 quay.io/team/db:latest <none>"},
		{"dangling=true", "", "<none>"},
		{"dangling=false", "", "web:1 web:2 quay.io/team/db:latest"},
		{"label=env", "", "web:1 web:2 quay.io/team/db:latest"},
		{"label=env=prod", "", "web:1 web:2"},
		{"label=env label=env=test", "", "quay.io/team/db:latest"},
		{"reference=web", "", "web:1 web:2"},
		{"reference=w*:2", "", "web:2"},
		{"", "quay.io/*/*", "quay.io/team/db:latest"},
		{"", "db", "quay.io/team/db:latest"},
		{"reference=web reference=db", "", "web:1 web:2 quay.io/team/db:latest"},
		{"before=web:1", "", "quay.io/team/db:latest <none>"},
		{"since=cc", "", "web:1 web:2 quay.io/team/db:latest"},
		{"since=cc before=web:2", "", "quay.io/team/db:latest"},
		{"until=24h", "", "quay.io/team/db:latest <none>"},
		{"until=2026-01-01", "", "quay.io/team/db:latest <none>"},
		{"", "nothing", ""},
	} {
		f, err := Filters(strings.Fields(c.words), strings.Fields(c.patterns), now)
		if err != nil {
			t.Errorf("%s: %v", c.words, err)
			continue
		}
		list, err := f.Apply(all)
		if err != nil {
			t.Errorf("%s: %v", c.words, err)
		}
		var names []string
		for _, i := range list {
			if i.Name == "" {
				i.Name = "<none>"
			}
			names = append(names, i.Name)
		}
		if d := cmp.Diff(c.want, strings.Join(names, " ")); d != "" {
			t.Errorf("%s %s: %s", c.words, c.patterns, d)
		}
	}
	for _, wrong := range []string{"x", "dangling=", "dangling=maybe", "size=1", "until=soon", "reference=[", "until=-1h"} {
		if _, err := Filters([]string{wrong}, nil, now); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	f, err := Filters([]string{"before=none"}, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Apply(all); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
}

func TestPruningFilters(t *testing.T) {
	now := time.Unix(100_000, 0)
	var p api.PruneParams
	for _, w := range []string{"label=a", "label=b=1", "label!=keep", "until=10h"} {
		if err := pruning(&p, []string{w}, now); err != nil {
			t.Errorf("%s: %v", w, err)
		}
	}
	want := api.PruneParams{Labels: []string{"a", "b=1"}, NotLabels: []string{"keep"}, Until: now.Add(-10 * time.Hour)}
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	for _, wrong := range []string{"label", "label=", "until=x", "dangling=true"} {
		if err := pruning(&p, []string{wrong}, now); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestKeptLayersCountOnce(t *testing.T) {
	shared := api.Image{Layers: []string{"/a", "/b"}, LayerSizes: []int64{100, 10}}
	other := api.Image{Layers: []string{"/a", "/c"}, LayerSizes: []int64{100, 1}}
	idle := api.Image{Layers: []string{"/d"}, LayerSizes: []int64{1000}}
	n, bytes := keptLayers(api.Usage{Images: []api.ImageUsage{
		{Image: shared, Containers: []string{"x"}}, {Image: other, Containers: []string{"y"}}, {Image: idle},
	}})
	if n != 2 || bytes != 111 {
		t.Errorf("%d images, %d bytes", n, bytes)
	}
}
