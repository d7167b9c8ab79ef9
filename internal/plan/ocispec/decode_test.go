package ocispec

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// roots are the types that are read from documents.
func roots() []any { return []any{&specs.Spec{}, &specs.Process{}, &specs.LinuxResources{}} }

// TestDecodable: decode has everything that the types of a specification need.
func TestDecodable(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var look func(reflect.Type, string)
	look = func(y reflect.Type, at string) {
		if y.NumMethod() > 0 || reflect.PointerTo(y).NumMethod() > 0 {
			for _, own := range []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()} {
				if reflect.PointerTo(y).Implements(own) {
					t.Errorf("%s: %v reads itself", at, y)
				}
			}
		}
		switch y.Kind() {
		case reflect.Pointer, reflect.Slice:
			if y.Elem().Kind() == reflect.Uint8 {
				t.Errorf("%s: bytes", at)
			}
			look(y.Elem(), at)
		case reflect.Map:
			if y.Key().Kind() != reflect.String {
				t.Errorf("%s: a map by %v", at, y.Key())
			}
			look(y.Elem(), at)
		case reflect.Struct:
			if seen[y] {
				return
			}
			seen[y] = true
			for i := range y.NumField() {
				f := y.Field(i)
				tag := f.Tag.Get("json")
				if strings.Contains(tag, ",string") || tag == "" && !f.Anonymous || f.Anonymous && f.Type.Kind() != reflect.Struct {
					t.Errorf("%s.%s: %q", at, f.Name, tag)
				}
				look(f.Type, at+"."+f.Name)
			}
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		default:
			if !strings.HasSuffix(at, ".Windows.CredentialSpec") { // it is another system's
				t.Errorf("%s: %v", at, y)
			}
		}
	}
	for _, r := range roots() {
		y := reflect.TypeOf(r).Elem()
		look(y, y.Name())
	}
}

// TestDecodeRefuses names the field.
func TestDecodeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                            "the document: is not of type struct",
		`{"process":{"args":"true"}}`:                   "process.args: is not of type slice",
		`{"process":{"args":["a",1]}}`:                  "process.args[1]: is not of type string",
		`{"process":{"user":{"uid":-1}}}`:               "process.user.uid: is not of type uint32",
		`{"process":{"user":{"uid":4294967296}}}`:       "process.user.uid: is not of type uint32",
		`{"process":{"user":{"uid":1.5}}}`:              "process.user.uid: is not of type uint32",
		`{"process":{"terminal":"yes"}}`:                "process.terminal: is not of type bool",
		`{"linux":{"sysctl":{"a.b":1}}}`:                "linux.sysctl.a.b: is not of type string",
		`{"linux":{"resources":{"pids":{"limit":[]}}}}`: "linux.resources.pids.limit: is not of type int64",
		`{} {}`: "goes on after its end",
		`{`:     "unexpected EOF",
	} {
		if err := decode([]byte(text), &specs.Spec{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// FuzzDecode: decode and json.Unmarshal agree.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"ociVersion":"1.0","process":{"args":["a"],"rlimits":[{"type":"x","hard":18446744073709551615}],"oomScoreAdj":-5},"hostname":null}`,
		`{"Process":{"ARGS":["b"]},"linux":{"resources":{"memory":{"limit":-1},"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10}]}}}}`,
		`{"linux":{"timeOffsets":{"boottime":{"secs":1}},"devices":[{"path":"/d","fileMode":438,"uid":null}],"namespaces":[{"type":"pid"},null]}}`,
		`{"annotations":{"a":"ä😀","":""},"mounts":[],"hooks":{"prestart":[{"path":"/x","timeout":3}]}, "unknown": {"x": [1.5e300]}}`,
		`{"limit":1e3}`, `[]`, `null`, `1`, `{"args":{}}`, `{"cpu":{"shares":2,"Shares":3}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i, want := range roots() {
			got := roots()[i]
			errGot, errWant := decode([]byte(text), got), json.Unmarshal([]byte(text), want)
			if (errGot == nil) != (errWant == nil) {
				t.Fatalf("%q: %v, json says %v", text, errGot, errWant)
			}
			if errGot == nil && !repeats(text) {
				if d := cmp.Diff(want, got, cmpopts.IgnoreFields(specs.Windows{}, "CredentialSpec")); d != "" {
					t.Fatalf("%q: (-json +decode)\n%s", text, d)
				}
			}
		}
	})
}

// repeats tells whether a document may have a key twice, in whatever case: json puts both
// values together, decode takes one.
func repeats(text string) bool {
	seen := map[string]bool{}
	for i, part := range strings.Split(strings.ToLower(text), `"`) {
		if i%2 == 1 {
			if seen[part] {
				return true
			}
			seen[part] = true
		}
	}
	return false
}
