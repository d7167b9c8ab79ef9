package manifest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/spec"
)

func TestNetworks(t *testing.T) {
	const path = "metadata.annotations[carob.local/networks]: "
	for _, c := range []struct {
		name, value, spec string
		want              []spec.Join
		err               string
	}{
		{"one", "back", "", []spec.Join{{Network: "back"}}, ""},
		{"several", "front, back,\n  some_net.1", "", []spec.Join{{Network: "front"}, {Network: "back"}, {Network: "some_net.1"}}, ""},
		{"empty", "", "", nil, path + `"": not the name of a network`},
		{"a comma too many", "a,", "", nil, path + `"": not the name of a network`},
		{"a path", "front,../x", "", nil, path + `"../x": not the name`},
		{"a mode", "host", "", nil, path + "host: not the name"},
		{"twice", "a,b,a", "", nil, path + "a: named twice"},
		{"many", strings.Repeat("a,", 40) + "b", "", nil, path + "41 networks, at most 32"},
		{"the host's", "a", "hostNetwork: true", nil, path + "with hostNetwork"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(podYAML(c.spec, ""), "name: p", "name: p\n  annotations:\n    carob.local/networks: "+strings.ReplaceAll(`"`+c.value+`"`, "\n", "\n    "), 1)
			ms, err := Parse(strings.NewReader(text))
			if c.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			plan, err := Translate(ms[0], Facts{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, plan.Pod.Networks); d != "" {
				t.Error(d)
			}
		})
	}
}
