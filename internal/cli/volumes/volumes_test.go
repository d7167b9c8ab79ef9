package volumes

import (
	"slices"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/status"
)

func TestFilter(t *testing.T) {
	all := []status.Volume{{Name: "data"}, {Name: "database", Containers: []string{"db"}}, {Name: "logs"}}
	for _, tt := range []struct {
		words, want string
	}{
		{"", "data database logs"},
		{"dangling=true", "data logs"},
		{"dangling=false", "database"},
		{"name=data", "data database"},
		{"name=data dangling=true", "data"},
		{"name=base name=log", "database logs"},
		{"name=none", ""},
	} {
		f, err := filterOf(strings.Fields(tt.words))
		if err != nil {
			t.Errorf("%s: %v", tt.words, err)
		}
		var got []string
		for _, v := range f.chosen(all) {
			got = append(got, v.Name)
		}
		if !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s: %q, want %q", tt.words, got, tt.want)
		}
	}
	for word, why := range map[string]string{"dangling": "not KEY=VALUE", "name=": "not KEY=VALUE", "dangling=1": "true or false", "label=a": "unknown key (dangling, driver, name)"} {
		if _, err := filterOf([]string{word}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", word, err)
		}
	}
}
