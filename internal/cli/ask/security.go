package ask

import (
	"encoding/json"
	"strconv"
	"strings"

	"carob/internal/spec"
)

func (r *Run) securities(q *Request, h Host) error {
	s := &q.Container.Security
	s.Privileged, s.ReadOnlyRootfs = r.privileged, r.readOnly
	s.CapAdd, s.CapDrop = r.capAdd, r.capDrop
	if r.privileged {
		s.Seccomp = "unconfined"
	}
	label := map[string]string{}
	for _, w := range r.security {
		if err := securityWord(s, label, w, h); err != nil {
			return err
		}
	}
	switch {
	case label["disable"] != "":
		s.SELinux = "disable"
	case len(label) > 0:
		s.SELinux = strings.Join([]string{label["user"], label["role"], label["type"], label["level"]}, ":")
	}
	return nil
}

// securityWord takes one --security-opt; what belongs to the SELinux label is
// collected in label.
func securityWord(s *spec.Security, label map[string]string, w string, h Host) (err error) {
	if w == "no-new-privileges" {
		s.NoNewPrivileges = true
		return nil
	}
	k, v, ok := strings.Cut(w, "=")
	if !ok {
		k, v, _ = strings.Cut(w, ":") // Docker's older spelling
	}
	if v == "" {
		return bad("security-opt", w, "not NAME=VALUE")
	}
	switch k {
	case "no-new-privileges":
		if s.NoNewPrivileges, err = strconv.ParseBool(v); err != nil {
			return bad("security-opt", w, "not true or false")
		}
	case "seccomp":
		s.Seccomp, err = seccomp(w, v, h)
	case "apparmor":
		s.AppArmor = v
	case "systempaths":
		if s.Unmasked = v == "unconfined"; !s.Unmasked {
			return bad("security-opt", w, "only systempaths=unconfined is known")
		}
	case "label":
		err = labelWord(label, w, v)
	default:
		return bad("security-opt", w, "unknown option")
	}
	return err
}

func seccomp(w, v string, h Host) (string, error) {
	switch v {
	case "unconfined":
		return v, nil
	case "builtin", "default":
		return "default", nil
	}
	b, err := h.ReadFile(v)
	if err != nil {
		return "", bad("security-opt", w, err.Error())
	}
	if !json.Valid(b) {
		return "", bad("security-opt", w, v+" is not JSON")
	}
	return string(b), nil
}

func labelWord(label map[string]string, w, v string) error {
	if v == "disable" {
		label["disable"] = "yes"
		return nil
	}
	k, v, _ := strings.Cut(v, ":")
	switch k {
	case "user", "role", "type", "level":
		label[k] = v
		return nil
	}
	return bad("security-opt", w, "not label=user:…, role:…, type:…, level:… or disable")
}
