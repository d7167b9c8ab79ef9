package manifest

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// walk holds a decoded document against the Go type of the Kubernetes API and the
// table of fields. It sees what was written, zero values too, which a walk over the
// decoded struct could not. null is unset, as in Kubernetes.
func walk(r *report, t reflect.Type, doc map[string]any) {
	w := walker{report: r}
	w.object(place{typ: t, level: supported}, doc)
}

type walker struct{ *report }

// place is where the walk is. level is noEffect below a field without effect: there
// only names and types still matter.
type place struct {
	path  string
	typ   reflect.Type
	level level
}

func (p place) field(name string, t reflect.Type) place {
	if p.path != "" {
		name = p.path + "." + name
	}
	return place{path: name, typ: t, level: p.level}
}

func (w walker) object(p place, doc map[string]any) {
	known := fieldsOf(p.typ)
	for _, name := range sortedKeys(doc) {
		value := doc[name]
		at := p.field(name, nil)
		f, ok := known[name]
		if !ok {
			w.invalid(at.path, "unknown field"+didYouMean(name, sortedKeys(known)))
			continue
		}
		if value == nil {
			continue
		}
		at.typ = f.typ
		if p.level == supported && !w.allowed(&at, ruleOf(p.typ, name), value) {
			continue
		}
		w.value(at, value)
	}
}

// allowed applies the table to one set field.
func (w walker) allowed(at *place, rule rule, value any) bool {
	switch rule.level {
	case refused:
		w.unsupported(at.path, notSupported+why(rule.note))
		return false
	case noEffect:
		w.warn(at.path, "no effect"+why(rule.note))
	}
	at.level = rule.level
	if len(rule.only) == 0 {
		return true
	}
	if s, ok := value.(string); ok && !slices.Contains(rule.only, s) {
		w.unsupported(at.path, fmt.Sprintf("%q: %s (only %s)%s", s, notSupported, strings.Join(rule.only, ", "), why(rule.note)))
		return false
	}
	return true
}

const notSupported = "not supported by this version of carob"

func why(note string) string {
	if note == "" {
		return ""
	}
	return ": " + note
}

// value checks one value against its Go type.
func (w walker) value(p place, v any) {
	for p.typ.Kind() == reflect.Pointer {
		p.typ = p.typ.Elem()
	}
	if decodesItself(p.typ) {
		w.custom(p, v)
		return
	}
	switch p.typ.Kind() {
	case reflect.Struct:
		if doc, ok := v.(map[string]any); ok {
			w.object(p, doc)
			return
		}
	case reflect.Map:
		if doc, ok := v.(map[string]any); ok {
			w.entries(p, doc)
			return
		}
	case reflect.Slice:
		if list, ok := v.([]any); ok {
			w.items(p, list)
			return
		}
	default:
		w.scalar(p, v)
		return
	}
	w.mismatch(p, v)
}

func (w walker) entries(p place, doc map[string]any) {
	for _, key := range sortedKeys(doc) {
		at := place{path: p.path + "[" + key + "]", typ: p.typ.Elem(), level: p.level}
		if doc[key] == nil {
			w.invalid(at.path, "has no value")
			continue
		}
		w.value(at, doc[key])
	}
}

func (w walker) items(p place, list []any) {
	for i, v := range list {
		at := place{path: fmt.Sprintf("%s[%d]", p.path, i), typ: p.typ.Elem(), level: p.level}
		if v == nil {
			w.invalid(at.path, "has no value")
			continue
		}
		w.value(at, v)
	}
}

func (w walker) scalar(p place, v any) {
	ok := false
	switch p.typ.Kind() {
	case reflect.String:
		_, ok = v.(string)
	case reflect.Bool:
		_, ok = v.(bool)
	case reflect.Float64:
		_, isInt := v.(int64)
		_, isFloat := v.(float64)
		ok = isInt || isFloat
	case reflect.Int64:
		_, ok = v.(int64)
	case reflect.Int32:
		n, isInt := v.(int64)
		ok = isInt && n >= math.MinInt32 && n <= math.MaxInt32
	}
	if !ok {
		w.mismatch(p, v)
	}
}

// custom lets types with a JSON form of their own (quantities, times) judge.
func (w walker) custom(p place, v any) {
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, reflect.New(p.typ).Interface())
	}
	if err == nil {
		return
	}
	if p.typ == reflect.TypeFor[resource.Quantity]() {
		w.invalidf(p.path, "%s is not a quantity (such as 500m, 2, 256Mi)", raw)
		return
	}
	w.invalidf(p.path, "%s is not a %s", raw, p.typ.Name())
}

func (w walker) mismatch(p place, v any) {
	hint := ""
	if p.typ.Kind() == reflect.String {
		hint = "; put it in quotes"
	}
	w.invalidf(p.path, "want %s, found %s%s", wanted(p.typ), kindOf(v), hint)
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int32:
		return "a whole number of 32 bits"
	}
	return "a whole number"
}

// kindOf names the kind of a decoded JSON value.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case bool:
		return fmt.Sprint(v)
	case string:
		return "a string"
	case int64, float64:
		return fmt.Sprintf("the number %v", v)
	}
	return fmt.Sprintf("%T", v)
}

func decodesItself(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// goField is one JSON field of an API type.
type goField struct {
	name string
	typ  reflect.Type
}

// fieldsOf returns the JSON fields of a struct, those of inlined structs included.
func fieldsOf(t reflect.Type) map[string]goField {
	all := map[string]goField{}
	for _, f := range fieldList(t) {
		all[f.name] = f
	}
	return all
}

// fieldList is fieldsOf in the order of the API's declaration.
func fieldList(t reflect.Type) []goField {
	var all []goField
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			all = append(all, fieldList(f.Type)...)
		case name != "":
			all = append(all, goField{name, f.Type})
		}
	}
	return all
}
