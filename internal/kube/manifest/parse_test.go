package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
)

// podYAML is a small Pod with lines added to its spec and its container.
func podYAML(spec, container string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n" + indent(spec, "  ") +
		"  containers:\n  - name: c\n    image: i\n" + indent(container, "    ")
}

func indent(s, by string) string {
	if s == "" {
		return ""
	}
	return by + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n"+by) + "\n"
}

func TestParseRefuses(t *testing.T) {
	const later = "not supported by this version of carob"
	tests := []struct {
		name, spec, container string
		want                  []string
	}{
		{"unknown container field", "", "comand: [a]", []string{`spec.containers[0].comand: unknown field (did you mean command?)`}},
		{"swapped letters", "", "agrs: [a]", []string{`spec.containers[0].agrs: unknown field (did you mean args?)`}},
		{"wrong case", "hostnetwork: true", "", []string{`spec.hostnetwork: unknown field (did you mean hostNetwork?)`}},
		{"nothing close", "banana: 1", "", []string{`spec.banana: unknown field`}},
		{"unknown below a field without effect", "affinity: {nodeAfinity: {}}", "", []string{`spec.affinity.nodeAfinity: unknown field (did you mean nodeAffinity?)`}},
		{"known, not supported", "", "livenessProbe: {exec: {command: [a]}}", []string{"spec.containers[0].livenessProbe: " + later}},
		{"not supported although zero", "activeDeadlineSeconds: 0", "envFrom: []",
			[]string{"spec.activeDeadlineSeconds: " + later, "spec.containers[0].envFrom: " + later}},
		{"volume type", "volumes: [{name: v, configMap: {name: m}}]", "", []string{"spec.volumes[0].configMap: " + later}},
		{"pull policy", "", "imagePullPolicy: Sometimes",
			[]string{`spec.containers[0].imagePullPolicy: "Sometimes" is not one of Always, IfNotPresent, Never`}},
		{"secret variable", "", "env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]",
			[]string{"spec.containers[0].env[0].valueFrom.secretKeyRef: " + later}},
		{"number for a string", "", "env: [{name: A, value: 1}]",
			[]string{"spec.containers[0].env[0].value: want a string, found the number 1; put it in quotes"}},
		{"string for a number", "", "ports: [{containerPort: http}]",
			[]string{"spec.containers[0].ports[0].containerPort: want a whole number of 32 bits, found a string"}},
		{"list for an object", "securityContext: []", "", []string{"spec.securityContext: want an object, found a list"}},
		{"quantity", "", "resources: {limits: {memory: lots}}",
			[]string{`spec.containers[0].resources.limits[memory]: "lots" is not a quantity (such as 500m, 2, 256Mi)`}},
		{"unknown resource", "", "resources: {limits: {nvidia.com/gpu: 1}}",
			[]string{"spec.containers[0].resources.limits[nvidia.com/gpu]: " + later + " (only cpu, memory, hugepages-SIZE, ephemeral-storage)",
				"spec.containers[0].resources.requests[nvidia.com/gpu]: " + later + " (only cpu, memory, hugepages-SIZE, ephemeral-storage)"}},
		{"request above limit", "", "resources: {limits: {cpu: 1}, requests: {cpu: 1500m}}",
			[]string{"spec.containers[0].resources.requests[cpu]: 1500m is more than the limit 1"}},
		{"negative", "", "resources: {limits: {memory: -1}}",
			[]string{"spec.containers[0].resources.limits[memory]: -1 is negative", "spec.containers[0].resources.requests[memory]: -1 is negative"}},
		{"volume missing", "volumes: [{name: data}]", "volumeMounts: [{name: date, mountPath: /d}]",
			[]string{`spec.containers[0].volumeMounts[0].name: no volume "date" in spec.volumes (did you mean data?)`}},
		{"mount paths", "volumes: [{name: v}]", "volumeMounts: [{name: v, mountPath: d}, {name: v, mountPath: /d}, {name: v, mountPath: /d/}, {name: v, mountPath: /}]",
			[]string{`spec.containers[0].volumeMounts[0].mountPath: "d" is not an absolute path`,
				`spec.containers[0].volumeMounts[2].mountPath: "/d/" is used by spec.containers[0].volumeMounts[1] too`,
				`spec.containers[0].volumeMounts[3].mountPath: a volume cannot be the container's root`}},
		{"sub path escapes", "volumes: [{name: v}]", "volumeMounts: [{name: v, mountPath: /d, subPath: a/../../b}]",
			[]string{`spec.containers[0].volumeMounts[0].subPath: "a/../../b" contains ..`}},
		{"disk size limit", "volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]", "",
			[]string{"spec.volumes[0].emptyDir.sizeLimit: " + later + " on disk: use medium: Memory, or leave it out"}},
		{"host path", "volumes: [{name: v, hostPath: {path: a, type: Dir}}]", "",
			[]string{`spec.volumes[0].hostPath.path: "a" is not an absolute path`,
				`spec.volumes[0].hostPath.type: "Dir" is not one of , DirectoryOrCreate, Directory, FileOrCreate, File, Socket, CharDevice, BlockDevice`}},
		{"ports", "", "ports: [{containerPort: 0}, {containerPort: 70000, protocol: tcp}, {containerPort: 80, hostPort: 70000, hostIP: all}]",
			[]string{"spec.containers[0].ports[0].containerPort: a port is required",
				`spec.containers[0].ports[1].containerPort: "70000": must be between 1 and 65535, inclusive`,
				`spec.containers[0].ports[1].protocol: "tcp" is not one of TCP, UDP, SCTP (did you mean TCP?)`,
				`spec.containers[0].ports[2].hostPort: "70000": must be between 1 and 65535, inclusive`,
				`spec.containers[0].ports[2].hostIP: "all" is not an IP address`}},
		{"host ports", "hostNetwork: true", "ports: [{containerPort: 80, hostPort: 81}, {containerPort: 80}, {containerPort: 80}]",
			[]string{"spec.containers[0].ports[0].hostPort: 81 must equal containerPort 80 when hostNetwork is true",
				"spec.containers[0].ports[2].hostPort: port 80/TCP is used by spec.containers[0].ports[1].hostPort too"}},
		{"restart policy", "restartPolicy: Sometimes", "", []string{`spec.restartPolicy: "Sometimes" is not one of Always, OnFailure, Never`}},
		{"pid modes", "hostPID: true\nshareProcessNamespace: true", "", []string{"spec.shareProcessNamespace: cannot be true together with hostPID"}},
		{"dns none", "dnsPolicy: None", "", []string{"spec.dnsConfig.nameservers: at least one is required with dnsPolicy None"}},
		{"env source", "", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.podIp}}}, {name: 'B=', value: x}]",
			[]string{`spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: "status.podIp" is not a field that a variable can have (did you mean status.podIP?)`,
				`spec.containers[0].env[1].name: "B=" contains = or NUL`}},
		{"escalation", "", "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
			[]string{"spec.containers[0].securityContext.allowPrivilegeEscalation: cannot be false in a privileged container"}},
		{"non root", "securityContext: {runAsNonRoot: true}", "securityContext: {runAsUser: 0}",
			[]string{"spec.containers[0].securityContext.runAsNonRoot: true, but runAsUser is 0"}},
		{"propagation", "volumes: [{name: v}]", "volumeMounts: [{name: v, mountPath: /d, mountPropagation: Bidirectional}]",
			[]string{"spec.containers[0].volumeMounts[0].mountPropagation: Bidirectional is only for privileged containers"}},
		{"seccomp", "securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../x}}", "",
			[]string{`spec.securityContext.seccompProfile.localhostProfile: "../x" is not a path below the profile directory`}},
		{"sysctl", "securityContext: {sysctls: [{name: net/../../x, value: '1'}]}", "",
			[]string{`spec.securityContext.sysctls[0].name: "net/../../x" is not a sysctl name`}},
		{"own annotation", "", "stdin: maybe", []string{"spec.containers[0].stdin: want true or false, found a string"}},
		{"termination message", "", "terminationMessagePath: /x",
			[]string{`spec.containers[0].terminationMessagePath: "/x": ` + later + " (only /dev/termination-log): termination messages are not collected"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(podYAML(tt.spec, tt.container)))
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
			want := fault.Unsupported
			for _, line := range tt.want {
				if !strings.Contains(line, later) {
					want = fault.Invalid
				}
			}
			if got := fault.KindOf(err); got != want {
				t.Errorf("kind %v, want %v", got, want)
			}
		})
	}
}

func TestParseDocuments(t *testing.T) {
	pod := func(name string) string {
		return strings.Replace(podYAML("", ""), "name: p", "name: "+name, 1)
	}
	tests := []struct {
		name, text string
		refs       []string
		err        string
	}{
		{"one", pod("a"), []string{"default/a"}, ""},
		{"several, with comments and empty ones", "# hello\n---\n" + pod("a") + "--- # next\n---\n" + pod("b") + "---", []string{"default/a", "default/b"}, ""},
		{"json", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n"},"spec":{"containers":[{"name":"c","image":"i"}]}}`, []string{"n/a"}, ""},
		{"flow style", `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}`, []string{"default/a"}, ""},
		{"list", "apiVersion: v1\nkind: List\nitems:\n- " + strings.TrimSpace(indent(pod("a"), "  ")) + "\n", []string{"default/a"}, ""},
		{"list with a fault", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, spec: {x: 1}}\n", nil, "items[0].spec.x: unknown field"},
		{"other kind", "apiVersion: apps/v1\nkind: Deployment\n", nil, "kind: apps/v1 Deployment is not supported, only v1 Pod and List"},
		{"no kind", "metadata: {}\n", nil, "kind: kind and apiVersion are required (kind: Pod, apiVersion: v1)"},
		{"empty", "---\n# nothing\n", nil, "manifest: no Pod in it"},
		{"not an object", "- a\n", nil, "manifest: line 1: a document is an object with apiVersion and kind, this one is a list"},
		{"broken, second document", pod("a") + "---\nkind: Pod\n a: b: c\n", nil, "manifest: line 11: mapping values are not allowed in this context"},
		{"key twice", pod("a") + "  restartPolicy: Never\n  restartPolicy: Never\n", nil, `manifest: unmarshal errors: line 10: key "restartPolicy" already set in map`},
		{"pod twice", pod("a") + "---\n" + pod("a"), nil, "manifest: pod default/a is in it twice"},
		{"which document", pod("a") + "---\n" + strings.Replace(pod("b"), "name: b", "name: B_", 1), nil, `document 2: metadata.name: "B_": a lowercase RFC 1123 subdomain`},
		{"names", strings.Replace(pod("a"), "name: a", "name: a\n  namespace: x.y\n  labels: {'a b': c}", 1), nil, "metadata.namespace:"},
		{"too large", strings.Repeat("#", MaxSize+1), nil, fmt.Sprintf("manifest: larger than %d bytes", MaxSize)},
		{"no containers", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n", nil, "spec.containers: at least one container is required"},
		{"container twice", podYAML("", "") + "  - name: c\n    image: i\n", nil, `spec.containers[1].name: "c" is the name of spec.containers[0] too`},
		{"carob's annotation", strings.Replace(pod("a"), "name: a", "name: a\n  annotations: {carob.local/applied: x}", 1), nil, "metadata.annotations: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := Parse(strings.NewReader(tt.text))
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var refs []string
			for _, m := range ms {
				refs = append(refs, m.Ref())
			}
			if diff := cmp.Diff(tt.refs, refs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseWarns(t *testing.T) {
	ms, err := Parse(strings.NewReader(podYAML("nodeSelector: {a: b}\npriorityClassName: x\nhostNetwork: true\nhostname: h",
		"resources: {limits: {memory: 1Mi, ephemeral-storage: 1Gi}}\nterminationMessagePolicy: File") + "status: {phase: Running}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"spec.containers[0].terminationMessagePolicy: no effect: termination messages are not collected",
		"spec.nodeSelector: no effect: there is one machine",
		"spec.priorityClassName: no effect: there is one machine",
		"status: no effect: it is an answer, not a wish",
		"spec.hostname: no effect: with hostNetwork the pod has the host's name",
		"spec.containers[0].resources.limits[ephemeral-storage]: no effect: disk use is not limited",
	}
	if diff := cmp.Diff(want, ms[0].Warnings); diff != "" {
		t.Error(diff)
	}
}

// TestManyProblems: what one error can hold is bounded.
func TestManyProblems(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "x%d: 1\n", i)
	}
	_, err := Parse(strings.NewReader(podYAML(b.String(), "")))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != maxProblems+1 || lines[maxProblems] != "and 950 more" {
		t.Errorf("%d lines, last %q", len(lines), lines[len(lines)-1])
	}
}

// TestHostileKeys: a key cannot drive the terminal that shows the error.
func TestHostileKeys(t *testing.T) {
	_, err := Parse(strings.NewReader(podYAML(`"\e[31m\nfake: fine": 1`+"\n? "+strings.Repeat("x", 100_000)+"\n: 1", "")))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 2 || strings.Contains(err.Error(), "\x1b") || len(lines[1]) > 1100 {
		t.Errorf("%.200q", lines)
	}
}

func TestExamplesParse(t *testing.T) {
	files, err := filepath.Glob("../../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ms, err := Parse(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, m := range ms {
			if _, err := Translate(m, Facts{}); err != nil || len(m.Warnings) > 0 {
				t.Errorf("%s: %v %v", name, err, m.Warnings)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(podYAML("volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]", "volumeMounts: [{name: v, mountPath: /d}]"))
	f.Add(`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod"}]}`)
	f.Add("apiVersion: v1\nkind: Pod\nmetadata: &a {name: p, labels: *a}\n")
	f.Add(podYAML("", "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}]\nresources: {limits: {cpu: 9E, hugepages-2Mi: 4Mi}}"))
	f.Add(podYAML("securityContext: {sysctls: [{name: /, value: a}], fsGroup: 3}", "command: ['$(A)$$(B)$']"))
	f.Fuzz(func(t *testing.T, text string) {
		ms, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, m := range ms {
			if _, err := Translate(m, Facts{VolumeDir: "/v"}); err != nil && !fault.Is(err, fault.NotFound) {
				t.Errorf("parsed, but: %v", err)
			}
		}
	})
}
