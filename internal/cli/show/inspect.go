package show

import (
	"encoding/json"
	"io"

	"carob/internal/fault"
)

// Inspect shows inspected things: all in one JSON or YAML list, or each through a
// template. A template sees the names that the JSON has, as in Docker ({{.Id}}).
func Inspect(w io.Writer, st Style, items []any) error {
	if st.Format == "" {
		if st.Output == "" {
			st.Output = "json"
		}
		if st.Output != "json" && st.Output != "yaml" {
			return fault.New(fault.Invalid, "-o "+st.Output+": use json or yaml")
		}
		return Document(w, st.Output, items)
	}
	if st.Format == "json" { // Docker's short word for {{json .}}
		st.Format = "{{json .}}"
	}
	t, err := Template(st.Format)
	if err != nil {
		return err
	}
	t.Option("missingkey=error")
	for _, it := range items {
		v, err := generic(it)
		if err != nil {
			return err
		}
		if err := Execute(w, t, v); err != nil {
			return err
		}
	}
	return nil
}

// generic is a value as its JSON has it, whole numbers staying whole.
func generic(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "inspect", err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fault.Wrap(fault.Internal, "inspect", err)
	}
	return whole(out), nil
}

func whole(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) && v < 1<<53 && v > -(1<<53) {
			return int64(v)
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = whole(v[k])
		}
	}
	return v
}
