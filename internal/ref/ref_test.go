package ref

import (
	"strings"
	"testing"

	"carob/internal/fault"
)

func TestParse(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	tests := []struct{ name, in, full, familiar string }{
		{"one word", "nginx", "docker.io/library/nginx:latest", "nginx:latest"},
		{"tag", "nginx:1.27-alpine", "docker.io/library/nginx:1.27-alpine", "nginx:1.27-alpine"},
		{"user", "bitnami/redis", "docker.io/bitnami/redis:latest", "bitnami/redis:latest"},
		{"default host", "docker.io/nginx", "docker.io/library/nginx:latest", "nginx:latest"},
		{"old default host", "index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest"},
		{"library spelt out", "library/nginx", "docker.io/library/nginx:latest", "nginx:latest"},
		{"deep library", "library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"},
		{"host with dot", "quay.io/a", "quay.io/a:latest", "quay.io/a:latest"},
		{"host with port", "reg:5000/a:v1", "reg:5000/a:v1", "reg:5000/a:v1"},
		{"localhost", "localhost/a", "localhost/a:latest", "localhost/a:latest"},
		{"upper-case host", "REG/a", "REG/a:latest", "REG/a:latest"},
		{"IPv6 host", "[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"},
		{"ours", "carob.local/toolbox", "carob.local/toolbox:latest", "carob.local/toolbox:latest"},
		{"digest", "nginx@sha256:" + hex, "docker.io/library/nginx@sha256:" + hex, "nginx@sha256:" + hex},
		{"tag and digest", "a:b@sha256:" + hex, "docker.io/library/a:b@sha256:" + hex, "a:b@sha256:" + hex},
		{"separators", "x/a-b__c.d/e--f", "docker.io/x/a-b__c.d/e--f:latest", "x/a-b__c.d/e--f:latest"},
		{"name like an ID behind a host", "docker.io/" + hex, "docker.io/library/" + hex + ":latest", "docker.io/library/" + hex + ":latest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if r.String() != test.full || r.Familiar() != test.familiar {
				t.Errorf("Parse(%q) = %q, %q; want %q, %q", test.in, r, r.Familiar(), test.full, test.familiar)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	tests := []struct{ name, in string }{
		{"empty", ""},
		{"upper case", "Nginx"},
		{"empty tag", "nginx:"},
		{"only a tag", ":v1"},
		{"bad tag", "nginx:.x"},
		{"long tag", "nginx:" + strings.Repeat("x", 129)},
		{"empty digest", "nginx@"},
		{"short digest", "nginx@sha256:12"},
		{"upper-case digest", "nginx@sha256:" + strings.ToUpper(hex)},
		{"unknown algorithm", "nginx@md5:" + hex},
		{"two digests", "a@sha256:" + hex + "@sha256:" + hex},
		{"only a digest", "@sha256:" + hex},
		{"image ID", hex},
		{"dot dot", "../etc/passwd"},
		{"inner dot dot", "a/../b"},
		{"absolute", "/a"},
		{"double slash", "a//b"},
		{"trailing slash", "a/"},
		{"three underscores", "a___b"},
		{"leading dash", "-a"},
		{"space", "a b"},
		{"newline", "a\nb"},
		{"zero byte", "a\x00b"},
		{"port zero", "reg:0/a"},
		{"port too large", "reg:65536/a"},
		{"empty label", "a..b:5000/c"},
		{"open bracket", "[::1/a"},
		{"after bracket", "[::1]x/a"},
		{"long name", strings.Repeat("a/", 128) + "a"},
		{"absurd", strings.Repeat("a", 1<<20)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := Parse(test.in)
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("Parse = %v, %v; want fault.Invalid", r, err)
			}
			if text := err.Error(); strings.Contains(text, "\n") || len(text) > 300 || !strings.HasPrefix(text, "image reference \"") {
				t.Errorf("text %q is not one line that quotes the reference", text)
			}
		})
	}
}

// FuzzParse holds that what Parse accepts is stable: both forms read back to the
// same value, and neither could leave a directory if used as a relative path.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"nginx", "a.b:5/c/d:e@sha256:" + strings.Repeat("0", 64), "[::1]:5/a", "A/b", "a/../b", "library/library"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		for _, form := range []string{r.String(), r.Familiar()} {
			again, err := Parse(form)
			if err != nil || again != r {
				t.Fatalf("%q gives %#v, but %q gives %#v, %v", s, r, form, again, err)
			}
			if strings.Contains("/"+form+"/", "/../") || strings.HasPrefix(form, "/") {
				t.Fatalf("%q gives %q, which climbs", s, form)
			}
		}
	})
}
