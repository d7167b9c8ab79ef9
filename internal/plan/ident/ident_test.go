package ident

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
)

const (
	passwd = `root:x:0:0:root:/root:/bin/sh
# a comment:x:5:5::/:
daemon:x:1:1::/usr/sbin:/bin/sh
app:x:1000:1000:App:/home/app:/bin/sh
big:x:4294967296:0::/big:
neg:x:-1:0::/neg:
evil:x:2000:2000::relative:
colon:x:2001:2001
1234:x:77:77::/seven:
`
	group = `root:x:0:
daemon:x:1:app
app:x:1000:
wheel:x:10:root,app
wheel:x:11:app
huge:x:4294967295:app
`
)

func TestLookup(t *testing.T) {
	tests := map[string]struct {
		user  string
		extra []string
		want  Identity
		kind  fault.Kind
	}{
		"empty is root":        {"", nil, Identity{Groups: []uint32{10}, Home: "/root", Name: "root"}, 0},
		"uid with entry":       {"1000", nil, Identity{UID: 1000, GID: 1000, Groups: []uint32{1, 10, 11}, Home: "/home/app", Name: "app"}, 0},
		"uid without entry":    {"4711", nil, Identity{UID: 4711, Home: "/"}, 0},
		"uid:gid":              {"4711:42", nil, Identity{UID: 4711, GID: 42, Home: "/"}, 0},
		"name":                 {"app", nil, Identity{UID: 1000, GID: 1000, Groups: []uint32{1, 10, 11}, Home: "/home/app", Name: "app"}, 0},
		"name:group":           {"app:wheel", nil, Identity{UID: 1000, GID: 10, Home: "/home/app", Name: "app"}, 0},
		"name:gid":             {"app:5", nil, Identity{UID: 1000, GID: 5, Home: "/home/app", Name: "app"}, 0},
		"only a group":         {":wheel", nil, Identity{GID: 10, Home: "/root", Name: "root"}, 0},
		"trailing colon":       {"app:", nil, Identity{UID: 1000, GID: 1000, Groups: []uint32{1, 10, 11}, Home: "/home/app", Name: "app"}, 0},
		"extra groups":         {"4711", []string{"wheel", "99", "99"}, Identity{UID: 4711, Groups: []uint32{10, 99}, Home: "/"}, 0},
		"relative home":        {"evil", nil, Identity{UID: 2000, GID: 2000, Home: "/", Name: "evil"}, 0},
		"short line":           {"colon", nil, Identity{UID: 2001, GID: 2001, Home: "/", Name: "colon"}, 0},
		"digits are no name":   {"1234", nil, Identity{UID: 1234, Home: "/"}, 0},
		"largest":              {"2147483647", nil, Identity{UID: 2147483647, Home: "/"}, 0},
		"CVE-2024-40635":       {"2147483648", nil, Identity{}, fault.Invalid},
		"wraps to root":        {"4294967296", nil, Identity{}, fault.Invalid},
		"beyond 64 bits":       {"99999999999999999999999", nil, Identity{}, fault.Invalid},
		"negative":             {"-1", nil, Identity{}, fault.Invalid},
		"group too large":      {"0:4294967296", nil, Identity{}, fault.Invalid},
		"extra too large":      {"0", []string{"4294967296"}, Identity{}, fault.Invalid},
		"huge id in passwd":    {"big", nil, Identity{}, fault.NotFound},
		"negative in passwd":   {"neg", nil, Identity{}, fault.NotFound},
		"unknown name":         {"nobody", nil, Identity{}, fault.NotFound},
		"unknown group":        {"0:none", nil, Identity{}, fault.NotFound},
		"huge id in group":     {"0:huge", nil, Identity{}, fault.NotFound},
		"three parts":          {"0:0:0", nil, Identity{}, fault.Invalid},
		"name with a newline":  {"app\nroot", nil, Identity{}, fault.NotFound},
		"a comment is no user": {"# a comment", nil, Identity{}, fault.NotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Lookup(Wish{User: tt.user, Groups: tt.extra}, strings.NewReader(passwd), strings.NewReader(group))
			if tt.kind != 0 {
				if !fault.Is(err, tt.kind) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if d := cmp.Diff(tt.want, got); d != "" || err != nil {
				t.Error(err, d)
			}
		})
	}
}

type endless struct{ n int }

func (e *endless) Read(b []byte) (int, error) {
	e.n += len(b)
	for i := range b {
		b[i] = "x\n"[i%2]
	}
	return len(b), nil
}

func TestLookupIsBounded(t *testing.T) {
	e := &endless{}
	if _, err := Lookup(Wish{User: "app"}, e, nil); !fault.Is(err, fault.Invalid) || e.n > 2*maxFile {
		t.Errorf("after %d bytes: %v", e.n, err)
	}
	if _, err := Lookup(Wish{User: "app"}, strings.NewReader(strings.Repeat("x", maxLine+1)), nil); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	if got, err := Lookup(Wish{User: "7"}, nil, nil); err != nil || got.UID != 7 {
		t.Error(got, err)
	}
	if _, err := Lookup(Wish{User: "0:0"}, nil, io.MultiReader(strings.NewReader("a:b:1\n"), failing{})); err == nil {
		t.Error("a read error is lost")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestHome(t *testing.T) {
	for _, bad := range []string{"/x\nroot::0:0::/:", "/x:y", "x", "", "/\r", "/\x00", "/\u2028", "/" + strings.Repeat("a", 5000)} {
		if home(bad) != "/" || !fault.Is(CheckHome(bad), fault.Invalid) {
			t.Errorf("%q passes", bad)
		}
	}
	if err := CheckHome("/home/ä b"); err != nil {
		t.Error(err)
	}
}

func TestCapabilities(t *testing.T) {
	tests := map[string]struct {
		add, drop  []string
		privileged bool
		want       []string
	}{
		"default":          {nil, nil, false, defaults()},
		"add and drop":     {[]string{"net_admin"}, []string{"CAP_CHOWN", "cap_kill"}, false, nil},
		"drop all":         {nil, []string{"ALL"}, false, []string{}},
		"drop all but one": {[]string{"NET_BIND_SERVICE"}, []string{"all"}, false, []string{"CAP_NET_BIND_SERVICE"}},
		"all":              {[]string{"CAP_ALL"}, nil, false, All()},
		"privileged":       {nil, nil, true, All()},
	}
	tests["add and drop"] = struct {
		add, drop  []string
		privileged bool
		want       []string
	}{[]string{"net_admin"}, []string{"CAP_CHOWN", "cap_kill"}, false, func() []string {
		s := append(slices.DeleteFunc(defaults(), func(c string) bool { return c == "CAP_CHOWN" || c == "CAP_KILL" }), "CAP_NET_ADMIN")
		slices.Sort(s)
		return s
	}()}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Capabilities(tt.add, tt.drop, tt.privileged)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, append([]string{}, c.Bounding...)); d != "" {
				t.Error(d)
			}
			if len(c.Inheritable)+len(c.Ambient) > 0 {
				t.Errorf("CVE-2022-24769: inheritable %v, ambient %v", c.Inheritable, c.Ambient)
			}
			u := ForUser(c, 1000)
			if len(u.Effective)+len(u.Permitted) > 0 || !slices.Equal(u.Bounding, c.Bounding) || len(ForUser(c, 0).Effective) != len(c.Effective) {
				t.Errorf("for a user: %+v", u)
			}
		})
	}
	for _, bad := range []string{"CAP_NOPE", "", "CAP_", "sys admin"} {
		if _, err := Capabilities([]string{bad}, nil, false); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "cap-add") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if n, ok := Number("CAP_SYS_ADMIN"); n != 21 || !ok || len(All()) != 41 {
		t.Errorf("CAP_SYS_ADMIN is %d; %d known", n, len(All()))
	}
	if _, ok := Number("SYS_ADMIN"); ok {
		t.Error("a short name has a number")
	}
}

func TestAllocate(t *testing.T) {
	tests := map[string]struct {
		used              []Range
		base, size, count uint32
		want              Range
		kind              fault.Kind
	}{
		"first":          {nil, 1000, 100, 10, Range{1000, 10}, 0},
		"after others":   {[]Range{{1010, 10}, {1000, 10}}, 1000, 100, 10, Range{1020, 10}, 0},
		"gap":            {[]Range{{1000, 10}, {1020, 10}}, 1000, 100, 10, Range{1010, 10}, 0},
		"gap too small":  {[]Range{{1000, 10}, {1015, 10}}, 1000, 100, 10, Range{1030, 10}, 0},
		"below the base": {[]Range{{0, 1005}}, 1000, 100, 10, Range{1010, 10}, 0},
		"nested":         {[]Range{{1000, 50}, {1010, 5}}, 1000, 100, 10, Range{1050, 10}, 0},
		"empty ignored":  {[]Range{{1000, 0}}, 1000, 100, 10, Range{1000, 10}, 0},
		"full":           {[]Range{{1000, 95}}, 1000, 100, 10, Range{}, fault.Unavailable},
		"too small":      {nil, 1000, 9, 10, Range{}, fault.Unavailable},
		"zero":           {nil, 1000, 9, 0, Range{}, fault.Invalid},
		"beyond":         {nil, 4294967295, 65536, 10, Range{}, fault.Invalid},
		"the default":    {nil, DefaultBase, 1<<31 - DefaultBase, DefaultCount, Range{DefaultBase, DefaultCount}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Allocate(tt.used, tt.base, tt.size, tt.count)
			if tt.kind != 0 {
				if !fault.Is(err, tt.kind) {
					t.Errorf("%v, %v", got, err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestParseSubIDs(t *testing.T) {
	got, err := ParseSubIDs(strings.NewReader("alice:100000:65536\n\nbad\nbob:x:1\nbob:165536:65536\nbob:1:0\nbob:99999999999:1\n"))
	if d := cmp.Diff([]Range{{100000, 65536}, {165536, 65536}}, got); d != "" || err != nil {
		t.Error(err, d)
	}
	if f, err := os.Open("/etc/subuid"); err == nil {
		defer f.Close()
		if _, err := ParseSubIDs(f); err != nil {
			t.Error(err)
		}
	}
}

func FuzzAllocate(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, uint32(1000), uint32(1000), uint32(10))
	f.Fuzz(func(t *testing.T, raw []byte, base, size, count uint32) {
		var used []Range
		for i := 0; i+1 < len(raw) && i < 64; i += 2 {
			used = append(used, Range{base + uint32(raw[i])*7, uint32(raw[i+1])})
		}
		r, err := Allocate(used, base, size, count)
		if err != nil {
			return
		}
		if r.Count != count || r.First < base || r.end() > uint64(base)+uint64(size) {
			t.Fatalf("%v is outside", r)
		}
		for _, u := range used {
			if r.Overlaps(u) {
				t.Fatalf("%v overlaps %v", r, u)
			}
		}
	})
}

func FuzzLookup(f *testing.F) {
	f.Add("app:wheel", passwd, group)
	f.Add("\n", "::::::\n", ":::,\n")
	f.Fuzz(func(t *testing.T, user, p, g string) {
		id, err := Lookup(Wish{User: user, Groups: []string{user}}, strings.NewReader(p), strings.NewReader(g))
		if err != nil {
			return
		}
		if id.UID > maxID || id.GID > maxID || strings.ContainsAny(id.Home+id.Name, "\n:") || !strings.HasPrefix(id.Home, "/") {
			t.Fatalf("%+v", id)
		}
	})
}

func TestWithinWhatTheHostHolds(t *testing.T) {
	has := func(n int) bool { return n != 24 } // no CAP_SYS_RESOURCE
	all, err := Capabilities(nil, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Within(all, has, []string{"ALL"})
	if err != nil || slices.Contains(c.Bounding, "CAP_SYS_RESOURCE") || !slices.Contains(c.Effective, "CAP_SYS_ADMIN") {
		t.Errorf("privileged: %v, %v", c, err)
	}
	if _, err := Within(all, has, []string{"sys_resource"}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("asked by name: %v", err)
	}
}
