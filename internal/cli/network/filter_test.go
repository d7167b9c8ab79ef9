package network

import (
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/status"
)

func TestFilter(t *testing.T) {
	all := []status.Network{
		{Name: "front", Labels: map[string]string{"tier": "web"}, Members: []status.Member{{Pod: "p"}}},
		{Name: "back", Labels: map[string]string{"tier": "db"}},
		{Name: "plugin", Driver: "cni"},
	}
	for words, want := range map[string]string{
		"":                              "front back plugin",
		"name=ck":                       "back",
		"name=front name=plug":          "front plugin",
		"label=tier":                    "front back",
		"label=tier=db":                 "back",
		"label=tier label=tier=web":     "front",
		"driver=cni":                    "plugin",
		"driver=builtin":                "front back",
		"dangling=true":                 "back plugin",
		"dangling=false":                "front",
		"dangling=true dangling=false":  "front back plugin",
		"dangling=true driver=builtin":  "back",
		"name=front dangling=true":      "",
		"label=tier=db label=tier=web":  "",
		"label=none":                    "",
		"label=tier= driver=builtin":    "",
		"dangling=true name=b name=plu": "back plugin",
	} {
		f, err := filterOf(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range all {
			if f.fits(n) {
				got = append(got, n.Name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", words, got, want)
		}
	}
	for _, word := range []string{"scope=local", "name", "name=", "driver=bridge", "dangling=maybe", "id=1"} {
		if _, err := filterOf([]string{word}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
}
