package manifest

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"carob/internal/fault"
)

var update = flag.Bool("update", false, "write golden files and docs/manifest.md anew")

const planMark = "-- plan.yaml --\n"

func TestTranslate(t *testing.T) {
	files, err := filepath.Glob("testdata/translate/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	facts := Facts{
		UID: "00000000-0000-4000-8000-000000000000", NodeName: "node", HostIPs: []string{"192.0.2.1", "2001:db8::1"},
		PodIPs: []string{"10.0.0.2", "fd00::2"}, CPUs: 4, Memory: 8 << 30, VolumeDir: "/vols",
		Seccomp: map[string]string{"dir/p.json": "{}"},
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(raw), planMark)
			_, text, _ := strings.Cut(input, "-- pod.yaml --\n")
			ms, err := Parse(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			plan, err := Translate(ms[0], facts)
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Pod.Annotations[AppliedAnnotation]) != 64 {
				t.Errorf("annotations %v", plan.Pod.Annotations)
			}
			delete(plan.Pod.Annotations, AppliedAnnotation) // changes with every field Kubernetes adds
			got, err := yaml.Marshal(plan)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(name, []byte(input+planMark+string(got)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"A": "x", "B": "$(A)", "": "empty", "a.b": "dot"}
	for in, want := range map[string]string{
		"":           "",
		"$(A)":       "x",
		"-$(A)-$(A)": "-x-x",
		"$(B)":       "$(A)",
		"$$(A)":      "$(A)",
		"$$$(A)":     "$x",
		"$$$$":       "$$",
		"$(NO)":      "$(NO)",
		"$(A":        "$(A",
		"$":          "$",
		"$A ${A}":    "$A ${A}",
		"$($(A))":    "$($(A))",
		"$()":        "empty",
		"$(a.b)":     "dot",
		"é$é$(A)ü$":  "é$éxü$",
	} {
		if got := expand(in, vars); got != want {
			t.Errorf("expand(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDigest(t *testing.T) {
	parse := func(text string) Manifest {
		t.Helper()
		ms, err := Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return ms[0]
	}
	a := parse(podYAML("restartPolicy: Always", "resources: {limits: {memory: 1Gi}}"))
	same := parse("# a comment\n" + podYAML("", "resources: {limits: {memory: 1024Mi}}") + "status: {phase: Running}\n")
	if Digest(a) != Digest(same) {
		t.Error("the same wish has two digests")
	}
	for _, other := range []string{
		podYAML("restartPolicy: Never", "resources: {limits: {memory: 1Gi}}"),
		podYAML("", "resources: {limits: {memory: 1Gi}}\nstdin: true"),
		strings.Replace(podYAML("", "resources: {limits: {memory: 1Gi}}"), "name: p", "name: p\n  labels: {a: b}", 1),
	} {
		if Digest(a) == Digest(parse(other)) {
			t.Errorf("the same digest for\n%s", other)
		}
	}
}

func TestSeccompProfileMissing(t *testing.T) {
	ms, err := Parse(strings.NewReader(podYAML("securityContext: {seccompProfile: {type: Localhost, localhostProfile: p}}", "")))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"p"}, SeccompFiles(ms[0])); diff != "" {
		t.Error(diff)
	}
	if _, err := Translate(ms[0], Facts{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestCPUNumbers(t *testing.T) {
	for milli, want := range map[int64]uint64{0: 2, 1: 2, 10: 10, 100: 102, 1000: 1024, 1 << 40: 262144} {
		if got := *cpuShares(milli); got != want {
			t.Errorf("%dm: shares %d, want %d", milli, got, want)
		}
	}
	if plus(1<<62, 1<<62) < 0 {
		t.Error("overflow")
	}
}

// TestTableNamesRealFields: a rule for a field that does not exist would be a
// promise nobody keeps; and each type of the table must be reachable.
func TestTableNamesRealFields(t *testing.T) {
	types := reachable()
	for name, rules := range table {
		typ, ok := types[name]
		if !ok {
			t.Errorf("%s is not below Pod through supported fields", name)
			continue
		}
		known := fieldsOf(typ)
		for field := range rules {
			if _, ok := known[field]; !ok {
				t.Errorf("%s has no field %s", name, field)
			}
		}
	}
	for name := range types {
		if _, ok := table[name]; !ok {
			t.Errorf("%s is supported, but its fields are not in the table", name)
		}
	}
}

// TestEveryFieldIsDecided sets each field of the API in turn, as written and as
// null, and holds the answer against the table.
func TestEveryFieldIsDecided(t *testing.T) {
	for name, typ := range reachable() {
		for _, f := range fieldList(typ) {
			rep := &report{}
			w := walker{rep}
			w.object(place{path: "x", typ: typ, level: supported}, map[string]any{f.name: nil})
			if !rep.clean() || len(rep.warnings) > 0 {
				t.Errorf("%s.%s: null: %v %v", name, f.name, rep.err(), rep.warnings)
			}
			rule := ruleOf(typ, f.name)
			at := place{path: "x." + f.name, typ: f.typ}
			w.allowed(&at, rule, map[string]any{})
			if (rule.level == refused) == rep.clean() || (rule.level == noEffect) != (len(rep.warnings) == 1) {
				t.Errorf("%s.%s: level %d: %v %v", name, f.name, rule.level, rep.err(), rep.warnings)
			}
		}
	}
}

func TestDidYouMean(t *testing.T) {
	known := slices.Sorted(maps.Keys(fieldsOf(reachable()["Container"])))
	for in, want := range map[string]string{
		"comand": "command", "Command": "command", "volumemounts": "volumeMounts", "prots": "ports", "evn": "env",
		"x": "", "completely": "", "environment": "",
	} {
		got := strings.TrimSuffix(strings.TrimPrefix(didYouMean(in, known), " (did you mean "), "?)")
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
