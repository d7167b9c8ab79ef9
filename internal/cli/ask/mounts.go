package ask

import (
	"encoding/csv"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"carob/internal/spec"
)

var propagations = []string{"private", "rprivate", "slave", "rslave", "shared", "rshared"}

// mounts joins -v, --mount and --tmpfs. Two mounts on one target are refused.
func mounts(volumes, mounts, tmpfses []string, h Host) ([]spec.Mount, error) {
	var all []spec.Mount
	add := func(flag, word string, m spec.Mount, err error) error {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(o spec.Mount) bool { return o.Target == m.Target }) {
			return bad(flag, word, "a second mount on "+m.Target)
		}
		all = append(all, m)
		return nil
	}
	for _, w := range volumes {
		m, err := volume(w, h)
		if err := add("volume", w, m, err); err != nil {
			return nil, err
		}
	}
	for _, w := range mounts {
		m, err := mount(w, h)
		if err := add("mount", w, m, err); err != nil {
			return nil, err
		}
	}
	for _, w := range tmpfses {
		m, err := tmpfs(w)
		if err := add("tmpfs", w, m, err); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func target(flag, word, p string) (string, error) {
	if !strings.HasPrefix(p, "/") {
		return "", bad(flag, word, "the path in the container must be absolute")
	}
	if p = path.Clean(p); p == "/" {
		return "", bad(flag, word, "cannot mount over the container's root")
	}
	return p, nil
}

// volume reads -v [SOURCE:]TARGET[:OPTIONS]. A source with a slash or dot at its
// start is a path of the host; any other is a volume's name. Unlike Docker a missing
// path is not made: a mistyped one would leave a directory of root's behind.
func volume(w string, h Host) (m spec.Mount, err error) {
	parts := strings.Split(w, ":")
	if len(parts) > 3 || slices.Contains(parts, "") {
		return m, bad("volume", w, "not [SOURCE:]TARGET[:OPTIONS]")
	}
	m.Type = spec.Volume
	to := parts[0]
	if len(parts) > 1 {
		m.Source, to = parts[0], parts[1]
	}
	if m.Target, err = target("volume", w, to); err != nil {
		return m, err
	}
	if strings.HasPrefix(m.Source, "/") || strings.HasPrefix(m.Source, ".") {
		m.Type = spec.Bind
		if m.Source, err = h.Abs(m.Source); err != nil {
			return m, bad("volume", w, err.Error())
		}
	} else if strings.Contains(m.Source, "/") {
		return m, bad("volume", w, m.Source+" is neither an absolute path nor a volume's name (./"+m.Source+"?)")
	}
	if len(parts) < 3 {
		return m, nil
	}
	for _, o := range relabel(strings.Split(parts[2], ","), h) {
		if wrong := volumeOption(&m, o); wrong != "" {
			return m, bad("volume", w, wrong)
		}
	}
	return m, nil
}

// relabel leaves Docker's z and Z among the options only where SELinux runs: elsewhere
// there is nothing to relabel.
func relabel(options []string, h Host) []string {
	if _, err := h.ReadFile("/sys/fs/selinux/enforce"); err == nil {
		return options
	}
	return slices.DeleteFunc(options, func(o string) bool { return o == "z" || o == "Z" })
}

// volumeOption takes one option; it returns what is wrong with it.
func volumeOption(m *spec.Mount, o string) (wrong string) {
	switch {
	case o == "ro":
		m.ReadOnly = true
	case o == "bind":
		m.NonRecursive = true
	case slices.Contains([]string{"rw", "rbind", "consistent", "cached", "delegated"}, o):
	case slices.Contains(propagations, o):
		m.Propagation = o
	case o == "z" && m.Relabel == "":
		m.Relabel = spec.RelabelShared
	case o == "Z" && m.Relabel == "":
		m.Relabel = spec.RelabelPrivate
	case o == "z", o == "Z":
		return "option " + o + ": z and Z are one or the other, once"
	default:
		return "unknown option " + o
	}
	return ""
}

// mount reads --mount type=…,source=…,target=…
func mount(w string, h Host) (m spec.Mount, err error) {
	words, err := csv.NewReader(strings.NewReader(w)).Read()
	if err != nil {
		return m, bad("mount", w, "not a list of key=value")
	}
	m.Type = spec.Volume
	for _, word := range words {
		k, v, given := strings.Cut(word, "=")
		if err := mountWord(&m, strings.ToLower(k), v, given); err != "" {
			return m, bad("mount", w, word+": "+err)
		}
	}
	if m.Target == "" {
		return m, bad("mount", w, "needs target=PATH")
	}
	if m.Target, err = target("mount", w, m.Target); err != nil {
		return m, err
	}
	if wrong := together(&m); wrong != "" {
		return m, bad("mount", w, wrong)
	}
	if m.Type == spec.Bind {
		if m.Source, err = h.Abs(m.Source); err != nil {
			return m, bad("mount", w, err.Error())
		}
	}
	return m, nil
}

// together returns what is wrong with the keys as a whole.
func together(m *spec.Mount) string {
	if wrong := source(m); wrong != "" {
		return wrong
	}
	if m.Type != spec.Tmpfs && (m.Size != 0 || m.Mode != 0) {
		return "tmpfs-size and tmpfs-mode need type=tmpfs"
	}
	if m.SubPath != "" && m.Type != spec.Volume && m.Type != spec.Image {
		return "a subpath needs type=volume or type=image"
	}
	return ""
}

// source returns what is wrong with the source for its type.
func source(m *spec.Mount) string {
	switch {
	case m.Type == spec.Bind && m.Source == "":
		return "type=bind needs source=PATH"
	case m.Type == spec.Image && m.Source == "":
		return "type=image needs source=IMAGE"
	case m.Type == spec.Tmpfs && m.Source != "":
		return "type=tmpfs has no source"
	case m.Type == spec.Volume && strings.Contains(m.Source, "/"):
		return m.Source + " is not a volume's name; type=bind for a path"
	}
	return ""
}

func yes(v string, given bool) (bool, string) {
	if !given {
		return true, ""
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, "not true or false"
	}
	return b, ""
}

// mountWord takes one key; it returns what is wrong with it.
func mountWord(m *spec.Mount, k, v string, given bool) (wrong string) {
	switch k {
	case "type":
		m.Type = spec.MountType(v)
		if !slices.Contains([]spec.MountType{spec.Bind, spec.Volume, spec.Tmpfs, spec.Image}, m.Type) {
			return "not bind, volume, tmpfs or image"
		}
	case "source", "src":
		m.Source = v
	case "target", "destination", "dst":
		m.Target = v
	case "readonly", "ro":
		m.ReadOnly, wrong = yes(v, given)
	case "tmpfs-size", "tmpfs-mode":
		return memory(m, strings.TrimPrefix(k, "tmpfs-"), v)
	case "volume-subpath", "image-subpath", "subpath":
		m.SubPath = v
	default:
		return bindWord(m, k, v, given)
	}
	return wrong
}

// bindWord takes one of the keys that begin with bind-.
func bindWord(m *spec.Mount, k, v string, given bool) (wrong string) {
	switch k {
	case "bind-propagation":
		if !slices.Contains(propagations, v) {
			return "not one of " + strings.Join(propagations, ", ")
		}
		m.Propagation = v
	case "bind-create-src":
		var create bool
		if create, wrong = yes(v, given); create {
			m.Create = "dir"
		}
	case "bind-nonrecursive":
		m.NonRecursive, wrong = yes(v, given)
	case "bind-recursive":
		if v != "enabled" && v != "disabled" {
			return "not enabled or disabled"
		}
		m.NonRecursive = v == "disabled"
	default:
		return "unknown or unsupported key"
	}
	return wrong
}

// memory takes a tmpfs's size or mode.
func memory(m *spec.Mount, k, v string) (wrong string) {
	if k == "size" {
		n, err := units.RAMInBytes(v)
		if err != nil || n < 0 {
			return "not a size"
		}
		m.Size = n
		return ""
	}
	n, err := strconv.ParseUint(v, 8, 32)
	if err != nil || n > 0o7777 {
		return "not an octal mode"
	}
	m.Mode = uint32(n)
	return ""
}

// tmpfs reads --tmpfs TARGET[:OPTIONS]; Docker's defaults are noexec, nosuid, nodev.
func tmpfs(w string) (m spec.Mount, err error) {
	to, list, _ := strings.Cut(w, ":")
	m.Type = spec.Tmpfs
	if m.Target, err = target("tmpfs", w, to); err != nil {
		return m, err
	}
	flags := map[string]string{"exec": "noexec", "suid": "nosuid", "dev": "nodev"}
	var extra []string
	for _, o := range strings.Split(list, ",") {
		k, v, _ := strings.Cut(o, "=")
		switch k {
		case "", "rw":
		case "ro":
			m.ReadOnly = true
		case "exec", "suid", "dev":
			flags[k] = k
		case "noexec", "nosuid", "nodev":
			flags[k[2:]] = k
		case "noatime", "relatime", "nodiratime", "sync", "strictatime":
			extra = append(extra, k)
		case "size", "mode":
			if wrong := memory(&m, k, v); wrong != "" {
				return m, bad("tmpfs", w, o+": "+wrong)
			}
		default:
			return m, bad("tmpfs", w, "unknown or unsupported option "+o)
		}
	}
	m.Options = append([]string{flags["exec"], flags["suid"], flags["dev"]}, extra...)
	return m, nil
}

// devices reads --device SOURCE[:TARGET][:rwm], and the names of CDI devices, which the
// daemon checks.
func devices(words []string) (all []spec.Device, cdi []string, err error) {
	for _, w := range words {
		if !strings.HasPrefix(w, "/") && strings.Contains(w, "=") {
			cdi = append(cdi, w)
			continue
		}
		parts := strings.Split(w, ":")
		d := spec.Device{Source: parts[0]}
		rest := parts[1:]
		if n := len(rest); n > 0 && access(rest[n-1]) {
			d.Access, rest = rest[n-1], rest[:n-1]
		}
		if len(rest) == 1 {
			d.Target, rest = rest[0], nil
		}
		if len(rest) > 0 || !strings.HasPrefix(d.Source, "/") || d.Target != "" && !strings.HasPrefix(d.Target, "/") {
			return nil, nil, bad("device", w, "not /dev/NAME[:/dev/NAME][:rwm] and not vendor.com/class=name")
		}
		all = append(all, d)
	}
	return all, cdi, nil
}

func access(s string) bool { return s != "" && strings.Trim(s, "rwm") == "" }
