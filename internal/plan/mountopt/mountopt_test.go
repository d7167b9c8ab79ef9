package mountopt

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		in   []string
		want Options
	}{
		"bind read-only":    {[]string{"bind", "ro", "nosuid"}, Options{Bind: true, Set: ReadOnly | NoSuid}},
		"tree":              {[]string{"rbind", "rro", "rslave"}, Options{Tree: true, SetTree: ReadOnly, PropagationTree: "slave"}},
		"both binds":        {[]string{"bind", "rbind"}, Options{Tree: true}},
		"last word counts":  {[]string{"ro", "rw", "noexec", "exec", "noexec"}, Options{Set: NoExec, Clear: ReadOnly}},
		"access times":      {[]string{"noatime", "strictatime"}, Options{Set: StrictAtime, Clear: Atime}},
		"relatime":          {[]string{"relatime"}, Options{Clear: Atime}},
		"tree relatime":     {[]string{"rrelatime"}, Options{ClearTree: Atime}},
		"file system's":     {[]string{"size=1m", "mode=755", "tmpcopyup"}, Options{CopyUp: true, Data: []string{"size=1m", "mode=755"}}},
		"mapping":           {[]string{"ridmap", "idmap"}, Options{IDMap: MappedTree}},
		"words for nothing": {[]string{"defaults", "async", ""}, Options{}},
		"remount":           {[]string{"remount", "private"}, Options{Remount: true, Propagation: "private"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := Parse([]string{"size=1\x00m"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a NUL gives %v", err)
	}
}

// TestNames: every name that is offered is one that Parse does not hand on.
func TestNames(t *testing.T) {
	for _, n := range Names() {
		o, err := Parse([]string{n})
		if err != nil || len(o.Data) != 0 {
			t.Errorf("%s: %v, %v", n, o, err)
		}
	}
}

func TestTake(t *testing.T) {
	o := Options{Data: []string{"a=1", "b=2", "a=3"}}
	if d := cmp.Diff([]string{"1", "3"}, o.Take("a=")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"b=2"}, o.Data); d != "" {
		t.Error(d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("rro", "size=1")
	f.Fuzz(func(t *testing.T, a, b string) {
		o, err := Parse([]string{a, b})
		if err == nil && (o.Set&o.Clear&^Atime != 0 || o.SetTree&o.ClearTree&^Atime != 0) {
			t.Errorf("%q %q sets and clears: %+v", a, b, o)
		}
	})
}
