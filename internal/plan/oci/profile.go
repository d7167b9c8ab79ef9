package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/host"
)

const (
	// maxProfile bounds a seccomp profile in bytes; Docker's default has 17 KB.
	maxProfile = 1 << 20
	maxErrno   = 4095 // the kernel's MAX_ERRNO
	maxArgs    = 6
)

// profile is a seccomp profile as Docker writes it; the OCI's form is the subset
// without conditions.
type profile struct {
	Comment          string                   `json:"comment,omitempty"`
	DefaultAction    specs.LinuxSeccompAction `json:"defaultAction"`
	DefaultErrnoRet  *uint                    `json:"defaultErrnoRet,omitempty"`
	DefaultErrno     string                   `json:"defaultErrno,omitempty"`
	Architectures    []specs.Arch             `json:"architectures,omitempty"`
	ArchMap          []archMap                `json:"archMap,omitempty"`
	Flags            []specs.LinuxSeccompFlag `json:"flags,omitempty"`
	ListenerPath     string                   `json:"listenerPath,omitempty"`
	ListenerMetadata string                   `json:"listenerMetadata,omitempty"`
	Syscalls         []rule                   `json:"syscalls"`
}

type archMap struct {
	Architecture     specs.Arch   `json:"architecture"`
	SubArchitectures []specs.Arch `json:"subArchitectures"`
}

type rule struct {
	Comment  string                   `json:"comment,omitempty"`
	Name     string                   `json:"name,omitempty"`
	Names    []string                 `json:"names,omitempty"`
	Action   specs.LinuxSeccompAction `json:"action"`
	ErrnoRet *uint                    `json:"errnoRet,omitempty"`
	Errno    string                   `json:"errno,omitempty"`
	Args     []specs.LinuxSeccompArg  `json:"args,omitempty"`
	Includes *condition               `json:"includes,omitempty"`
	Excludes *condition               `json:"excludes,omitempty"`
}

type condition struct {
	Caps      []string `json:"caps,omitempty"`
	Arches    []string `json:"arches,omitempty"`
	MinKernel string   `json:"minKernel,omitempty"`
}

// Machine is what a profile's conditions ask for.
type Machine struct {
	// Arch is a GOARCH.
	Arch string
	// Kernel is the running one.
	Kernel host.Version
	// Caps is the container's bounding set, full names.
	Caps []string
}

// Profile reads a seccomp profile in the OCI's or Docker's JSON and decides its
// conditions for one machine and one set of capabilities. A word that it does not
// know is refused, because a filter that is not understood is not applied. So is a
// profile without a default action, which Docker takes for "no filter". The errors
// are Invalid, or Unsupported for a profile that wants a notify listener; they name
// the position.
func Profile(text string, m Machine) (*specs.LinuxSeccomp, error) {
	in, err := decodeProfile(text)
	if err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	out := &specs.LinuxSeccomp{
		DefaultAction:   in.DefaultAction,
		DefaultErrnoRet: in.DefaultErrnoRet,
		Architectures:   in.Architectures,
		Flags:           in.Flags,
	}
	native := arches[m.Arch]
	for _, a := range in.ArchMap {
		if a.Architecture == native && native != "" {
			out.Architectures = append([]specs.Arch{a.Architecture}, a.SubArchitectures...)
			break
		}
	}
	for i := range in.Syscalls {
		r := &in.Syscalls[i]
		applies, err := r.applies(m)
		if err != nil {
			return nil, bad("syscalls["+strconv.Itoa(i)+"]", err.Error())
		}
		if !applies {
			continue
		}
		names := r.Names
		if r.Name != "" {
			names = []string{r.Name}
		}
		out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: names, Action: r.Action, ErrnoRet: r.ErrnoRet, Args: r.Args})
	}
	return out, nil
}

func bad(where, cause string) error {
	if where != "" {
		where += ": "
	}
	return fault.New(fault.Invalid, "seccomp profile: "+where+cause)
}

func decodeProfile(text string) (*profile, error) {
	if len(text) > maxProfile {
		return nil, bad("", fmt.Sprintf("%d bytes are more than %d", len(text), maxProfile))
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var p profile
	if err := d.Decode(&p); err != nil {
		at := d.InputOffset()
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			at = syntax.Offset
		case errors.As(err, &kind):
			return nil, bad(position(text, kind.Offset), "field "+kind.Field+" is a "+kind.Value)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, bad(position(text, int64(len(text))), "the text ends too early")
		}
		return nil, bad(position(text, at), clip(strings.TrimPrefix(err.Error(), "json: ")))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad(position(text, d.InputOffset()), "more follows the profile")
	}
	return &p, nil
}

// position turns an offset into what an editor shows.
func position(text string, at int64) string {
	before := []byte(text)[:min(max(at, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d column %d", line, max(column-1, 1))
}

func (p *profile) check() error {
	if p.DefaultAction == "" {
		return bad("defaultAction", "is missing")
	}
	if len(p.Architectures) > 0 && len(p.ArchMap) > 0 {
		return bad("architectures", "stands beside archMap; give one of them")
	}
	if err := checkAction("defaultAction", p.DefaultAction, p.DefaultErrnoRet); err != nil {
		return err
	}
	if p.DefaultErrno != "" && p.DefaultErrnoRet == nil {
		return bad("defaultErrno", "is a name; give the number as defaultErrnoRet")
	}
	if p.ListenerPath != "" || p.ListenerMetadata != "" {
		return fault.New(fault.Unsupported, "seccomp profile: listenerPath: notify listeners are not served")
	}
	if err := p.checkWords(); err != nil {
		return err
	}
	for i := range p.Syscalls {
		if err := p.Syscalls[i].check("syscalls[" + strconv.Itoa(i) + "]"); err != nil {
			return err
		}
	}
	return nil
}

func (p *profile) checkWords() error {
	for i, f := range p.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv:
		default:
			return bad(fmt.Sprintf("flags[%d]", i), "unknown flag \""+clip(string(f))+"\"")
		}
	}
	named := slices.Clone(p.Architectures)
	for _, a := range p.ArchMap {
		named = append(append(named, a.Architecture), a.SubArchitectures...)
	}
	for _, a := range named {
		if !isSeccompArch(a) {
			return bad("architectures", "unknown architecture \""+clip(string(a))+"\"")
		}
	}
	return nil
}

func (r *rule) check(where string) error {
	switch {
	case r.Name != "" && len(r.Names) > 0:
		return bad(where, "has both name and names")
	case r.Name == "" && len(r.Names) == 0:
		return bad(where, "names no system call")
	case slices.Contains(r.Names, ""):
		return bad(where+".names", "holds an empty name")
	case r.Errno != "" && r.ErrnoRet == nil:
		return bad(where+".errno", "is a name; give the number as errnoRet")
	case len(r.Args) > maxArgs:
		return bad(where+".args", "a system call has six arguments")
	}
	if err := checkAction(where+".action", r.Action, r.ErrnoRet); err != nil {
		return err
	}
	return checkArgs(where, r.Args)
}

func checkArgs(where string, args []specs.LinuxSeccompArg) error {
	for i, a := range args {
		at := fmt.Sprintf("%s.args[%d]", where, i)
		if a.Index >= maxArgs {
			return bad(at+".index", strconv.FormatUint(uint64(a.Index), 10)+" is not from 0 to 5")
		}
		switch a.Op {
		case specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual:
		default:
			return bad(at+".op", "unknown comparison \""+clip(string(a.Op))+"\"")
		}
	}
	return nil
}

func checkAction(where string, a specs.LinuxSeccompAction, errno *uint) error {
	switch a {
	case specs.ActErrno, specs.ActTrace:
		if errno != nil && *errno > maxErrno {
			return bad(where, fmt.Sprintf("errno %d is above %d", *errno, maxErrno))
		}
		return nil
	case specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActAllow, specs.ActLog:
		if errno != nil && *errno != 0 {
			return bad(where, string(a)+" takes no errno")
		}
		return nil
	case specs.ActNotify:
		return fault.New(fault.Unsupported, "seccomp profile: "+where+": notify listeners are not served")
	}
	return bad(where, "unknown action \""+clip(string(a))+"\"")
}

// applies decides a rule's conditions as Docker does: one match excludes, all must
// match to include.
func (r *rule) applies(m Machine) (bool, error) {
	out, err := r.Excludes.matchesAny(m)
	if err != nil || out {
		return false, err
	}
	return r.Includes.matchesAll(m)
}

func (c *condition) matchesAny(m Machine) (bool, error) {
	if c == nil {
		return false, nil
	}
	newer, err := m.atLeast(c.MinKernel)
	has := func(name string) bool { return slices.Contains(m.Caps, name) }
	return slices.Contains(c.Arches, dockerArch(m.Arch)) || slices.ContainsFunc(c.Caps, has) || (c.MinKernel != "" && newer), err
}

func (c *condition) matchesAll(m Machine) (bool, error) {
	if c == nil {
		return true, nil
	}
	newer, err := m.atLeast(c.MinKernel)
	lacks := func(name string) bool { return !slices.Contains(m.Caps, name) }
	arch := len(c.Arches) == 0 || slices.Contains(c.Arches, dockerArch(m.Arch))
	return newer && arch && !slices.ContainsFunc(c.Caps, lacks), err
}

// atLeast compares with "major.minor"; "" is every kernel.
func (m Machine) atLeast(version string) (bool, error) {
	if version == "" {
		return true, nil
	}
	a, b, ok := strings.Cut(version, ".")
	major, ok1 := decimal(a)
	minor, ok2 := decimal(b)
	if !ok || !ok1 || !ok2 || major+minor == 0 {
		return false, errors.New("minKernel \"" + clip(version) + "\" is not like 4.8")
	}
	return m.Kernel.AtLeast(major, minor), nil
}

// dockerArch is libseccomp's word for a GOARCH, as conditions use it.
func dockerArch(goarch string) string {
	switch goarch {
	case "386":
		return "x86"
	case "loong64":
		return "loongarch64"
	case "mips64le":
		return "mipsel64"
	case "mipsle":
		return "mipsel"
	}
	return goarch
}

// arches is GOARCH to the OCI's name.
var arches = map[string]specs.Arch{
	"386": specs.ArchX86, "amd64": specs.ArchX86_64, "arm": specs.ArchARM, "arm64": specs.ArchAARCH64, "loong64": specs.ArchLOONGARCH64,
	"mips": specs.ArchMIPS, "mipsle": specs.ArchMIPSEL, "mips64": specs.ArchMIPS64, "mips64le": specs.ArchMIPSEL64,
	"ppc64": specs.ArchPPC64, "ppc64le": specs.ArchPPC64LE, "riscv64": specs.ArchRISCV64, "s390x": specs.ArchS390X,
}

func isSeccompArch(a specs.Arch) bool {
	switch a {
	case specs.ArchX86, specs.ArchX86_64, specs.ArchX32, specs.ArchARM, specs.ArchAARCH64, specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32,
		specs.ArchMIPSEL, specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390, specs.ArchS390X,
		specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K, specs.ArchSH, specs.ArchSHEB:
		return true
	}
	return false
}
