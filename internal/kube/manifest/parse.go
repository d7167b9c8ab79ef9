package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"carob/internal/fault"
)

// MaxSize bounds a manifest in bytes, all documents together: a little over what
// the Kubernetes API takes for one object (etcd's 1.5 MiB).
const MaxSize = 2 << 20

// maxPods bounds the pods of one manifest.
const maxPods = 500

// Manifest is one Pod as it was written, checked and defaulted like the API server
// would do it.
type Manifest struct {
	Pod *corev1.Pod
	// Warnings name fields that were accepted without effect.
	Warnings []string
}

// Ref returns "namespace/name", which the engine resolves.
func (m Manifest) Ref() string { return m.Pod.Namespace + "/" + m.Pod.Name }

// Parse reads Pods and Lists of Pods from YAML or JSON documents. The error joins
// everything that is wrong, one line each with the field's path; its kind is
// Invalid, or Unsupported when all of it is only beyond this version of carob.
func Parse(r io.Reader) ([]Manifest, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if len(raw) > MaxSize {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("manifest: larger than %d bytes", MaxSize))
	}
	docs, err := documents(raw)
	if err != nil {
		return nil, err
	}
	var all []Manifest
	var rep report
	for i, d := range docs {
		prefix := ""
		if len(docs) > 1 {
			prefix = fmt.Sprintf("document %d: ", i+1)
		}
		all = append(all, parseObject(d, prefix, &rep)...)
	}
	if err := rep.err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fault.New(fault.Invalid, "manifest: no Pod in it")
	}
	if len(all) > maxPods {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("manifest: %d pods, at most %d", len(all), maxPods))
	}
	return all, twice(all)
}

func twice(all []Manifest) error {
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.Ref()] {
			return fault.New(fault.Invalid, "manifest: pod "+m.Ref()+" is in it twice")
		}
		seen[m.Ref()] = true
	}
	return nil
}

// documents returns the non-empty documents as JSON objects.
func documents(raw []byte) ([]map[string]any, error) {
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		if docs, err := jsonDocuments(raw); err == nil {
			return docs, nil
		} // else it may be YAML in flow style, or its parser says what is wrong with a line number
	}
	var docs []map[string]any
	for _, part := range split(raw) {
		j, err := yaml.YAMLToJSONStrict(part.text)
		if err != nil {
			return nil, fault.New(fault.Invalid, "manifest: "+yamlText(err, part.line))
		}
		if string(j) == "null" {
			continue
		}
		doc, err := object(j)
		if err != nil {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("manifest: line %d: %v", part.line+1, err))
		}
		docs = append(docs, doc)
	}
	return docs, nil
}

func jsonDocuments(raw []byte) ([]map[string]any, error) {
	var docs []map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		var one json.RawMessage
		if err := d.Decode(&one); err == io.EOF {
			return docs, nil
		} else if err != nil {
			return nil, err
		}
		doc, err := object(one)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
}

// object decodes one JSON object with exact integers, refusing duplicate keys.
func object(raw []byte) (map[string]any, error) {
	var v any
	strict, err := kjson.UnmarshalStrict(raw, &v)
	if err != nil {
		return nil, err
	}
	if len(strict) > 0 {
		return nil, strict[0]
	}
	doc, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a document is an object with apiVersion and kind, this one is %s", kindOf(v))
	}
	return doc, nil
}

type part struct {
	text []byte
	line int // lines before it
}

// split cuts at document markers. A line that starts with "---" is one wherever it
// stands (YAML 1.1 section 9.1.1): not even a block scalar may contain it.
func split(raw []byte) []part {
	parts := []part{{}}
	for n, line := range bytes.SplitAfter(raw, []byte("\n")) {
		rest, marker := bytes.CutPrefix(line, []byte("---"))
		if marker && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) {
			parts = append(parts, part{line: n})
			line = rest
		}
		last := &parts[len(parts)-1]
		last.text = append(last.text, line...)
	}
	return parts
}

var lineNumber = regexp.MustCompile(`line (\d+)`)

// yamlText is the YAML parser's message on one line, its line numbers counted from
// the start of the manifest.
func yamlText(err error, before int) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = lineNumber.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.Atoi(strings.TrimPrefix(s, "line "))
		return fmt.Sprintf("line %d", n+before)
	})
	return strings.Join(strings.Fields(text), " ")
}

// parseObject handles one Pod or List.
func parseObject(doc map[string]any, prefix string, rep *report) []Manifest {
	kind, _ := doc["kind"].(string)
	version, _ := doc["apiVersion"].(string)
	switch {
	case kind == "" || version == "":
		rep.invalid(prefix+"kind", "kind and apiVersion are required (kind: Pod, apiVersion: v1)")
	case version == "v1" && kind == "Pod":
		if m, ok := parsePod(doc, prefix, rep); ok {
			return []Manifest{m}
		}
	case version == "v1" && (kind == "List" || kind == "PodList"):
		return parseList(doc, prefix, rep)
	default:
		rep.unsupported(prefix+"kind", fmt.Sprintf("%s %s is not supported, only v1 Pod and List", version, kind))
	}
	return nil
}

func parseList(doc map[string]any, prefix string, rep *report) []Manifest {
	for _, key := range sortedKeys(doc) {
		if key != "items" && key != "kind" && key != "apiVersion" && key != "metadata" {
			rep.invalid(prefix+key, "unknown field"+didYouMean(key, []string{"items", "metadata"}))
		}
	}
	items, ok := doc["items"].([]any)
	if !ok {
		rep.invalid(prefix+"items", "a list of Pods is required")
		return nil
	}
	var all []Manifest
	for i, it := range items {
		at := fmt.Sprintf("%sitems[%d]", prefix, i)
		item, ok := it.(map[string]any)
		if !ok {
			rep.invalid(at, "want an object, found "+kindOf(it))
			continue
		}
		all = append(all, parseItem(item, at, doc["kind"] == "PodList", rep)...)
	}
	return all
}

// parseItem handles one item; those of a PodList need not say what they are.
func parseItem(item map[string]any, at string, ofPods bool, rep *report) []Manifest {
	if ofPods && item["kind"] == nil && item["apiVersion"] == nil {
		item["kind"], item["apiVersion"] = "Pod", "v1"
	}
	if kind, _ := item["kind"].(string); strings.HasSuffix(kind, "List") {
		rep.invalid(at+".kind", "a list inside a list")
		return nil
	}
	return parseObject(item, at+".", rep)
}

// parsePod checks the fields before it decodes, so that the decoder meets only
// names and types it takes, then the values.
func parsePod(doc map[string]any, prefix string, rep *report) (Manifest, bool) {
	own := &report{prefix: prefix}
	walk(own, reflect.TypeFor[corev1.Pod](), doc)
	if own.clean() {
		pod := &corev1.Pod{}
		raw, err := json.Marshal(doc)
		if err == nil {
			err = json.Unmarshal(raw, pod)
		}
		if err != nil {
			own.invalid("pod", err.Error())
		} else {
			setDefaults(pod)
			validate(own, pod)
			rep.merge(own)
			return Manifest{Pod: pod, Warnings: own.warnings}, own.clean()
		}
	}
	rep.merge(own)
	return Manifest{}, false
}
