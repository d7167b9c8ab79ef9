package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/ident"
	"carob/internal/sys/trace"
)

// record makes TestLikeLibseccomp ask the installed runc, as root, in place of testdata:
//
//	go test ./internal/plan/seccomp -run LikeLibseccomp -args -record
var record = flag.Bool("record", false, "record what runc and libseccomp make of the default profile")

// recording is a profile and the filter that the kernel had from runc for it.
type recording struct {
	// By is what `runc --version` says, on one line.
	By      string              `json:"by"`
	Profile *specs.LinuxSeccomp `json:"profile"`
	Program []byte              `json:"program"`
}

// TestLikeLibseccomp holds the filter of the default profile against the one that runc
// makes of it with libseccomp: every number of every architecture, with the arguments
// that matter. What differs must be one of the differences that explained knows.
func TestLikeLibseccomp(t *testing.T) {
	for name, caps := range map[string][]string{"none": nil, "all": ident.All()} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", "libseccomp-"+name+".json")
			if *record {
				write(t, path, ask(t, defaultProfile(t, caps...)))
			}
			r := read(t, path)
			ours, err := compileFor("amd64", r.Profile, Kernel{})
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			o := newOracle(t, "amd64", r.Profile)
			for _, d := range o.everything() {
				got, _, err := execute(ours.Program, d)
				theirs, _, err2 := execute(r.Program, d)
				if err != nil || err2 != nil {
					t.Fatal(err, err2)
				}
				if got == theirs {
					seen["equal"]++
					continue
				}
				why := o.explained(d, got, theirs)
				if seen[why]++; why == "" {
					t.Errorf("%v %+v: %#x, libseccomp %#x", o.called(d), d, got, theirs)
				}
			}
			t.Logf("%s: %v", r.By, seen)
		})
	}
}

// everything is what a filter could be asked: each number with each argument around what
// the rules for it compare with.
func (o oracle) everything() (all []data) {
	numbers := []uint32{0xffffffff, 0x7fffffff, x32Bit + 1000}
	for nr := range uint32(560) {
		numbers = append(numbers, nr, nr|x32Bit)
	}
	for _, arch := range []uint32{auditX86_64, auditX86, auditAArch64, 0} {
		for _, nr := range numbers {
			for _, v := range o.values(arch, nr) {
				all = append(all, data{nr: nr, arch: arch, args: [6]uint64{v, v, v, v, v, v}})
			}
		}
	}
	return all
}

// called are the names of the call.
func (o oracle) called(d data) []string {
	for i, a := range o.archs {
		if a.audit == d.arch && (a.audit != auditX86_64 || (d.nr >= x32Bit) == (a.mask != 0)) {
			return o.names[i][d.nr-a.mask]
		}
	}
	return nil
}

// explained names the reason for a difference, "" if there is none that we know of.
func (o oracle) explained(d data, ours, theirs uint32) string {
	x32 := d.arch == auditX86_64 && d.nr >= x32Bit
	low := d.nr &^ x32Bit
	switch {
	case d.arch != auditX86_64 && d.arch != auditX86:
		if ours == retKillProcess && theirs == retKillThread {
			return "a foreign architecture kills the process, not the thread"
		}
	case (x32 || d.arch == auditX86) && d.args[0] > 0xffffffff:
		return "arguments of 32-bit calls are looked at with 64 bits"
	case x32 && low < 512 && (o.twice(low) || slices.ContainsFunc(o.called(d), only64)):
		return "the kernel has no such call in x32"
	case (low >= 457 || low == 453 || low == 335) && theirs&0xffff0000 == retErrno:
		return "younger than libseccomp's tables"
	}
	return ""
}

// only64 reports whether the kernel's table has a call for 64 bits and not for x32
// (arch/x86/entry/syscalls/syscall_64.tbl), while the library's tables have it for both.
func only64(name string) bool {
	return slices.Contains([]string{"set_thread_area", "get_thread_area", "epoll_ctl_old", "epoll_wait_old"}, name)
}

// twice reports whether a call of x32's has another number, above 512, as well.
func (o oracle) twice(nr uint32) bool {
	for i, a := range o.archs {
		if a.mask == 0 {
			continue
		}
		for _, name := range o.names[i][nr] {
			if slices.Max(a.numbers[name]) >= 512 {
				return true
			}
		}
	}
	return false
}

func read(t *testing.T, path string) (r recording) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func write(t *testing.T, path string, r recording) {
	t.Helper()
	text, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ask runs a container under runc, with the machine's programs, and reads the
// filter of its process.
func ask(t *testing.T, p *specs.LinuxSeccomp) recording {
	t.Helper()
	version, err := exec.Command("runc", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bundle := specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{Args: []string{"/bin/sleep", "60"}, Cwd: "/", Env: []string{"PATH=/bin"}},
		Root:    &specs.Root{Path: "root"},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}},
			Seccomp:    p,
		},
	}
	for _, path := range []string{"/bin", "/lib", "/lib64", "/usr"} {
		bundle.Mounts = append(bundle.Mounts, specs.Mount{Destination: path, Source: path, Options: []string{"rbind", "ro"}})
	}
	text, err := json.Marshal(bundle)
	if err == nil {
		err = errors.Join(os.Mkdir(filepath.Join(dir, "root"), 0o755), os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	runc := func(args ...string) string {
		out, err := exec.Command("runc", append([]string{"--root", filepath.Join(dir, "state")}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("runc %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	name := "carob-" + filepath.Base(dir)
	run := exec.Command("runc", "--root", filepath.Join(dir, "state"), "run", "-d", "-b", dir, name)
	said, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	run.Stderr = said // a file: with a pipe it would wait for the container's end
	if err := run.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		t.Fatalf("runc run: %v: %s", err, text)
	}
	defer runc("delete", "--force", name)
	var state struct{ Pid int }
	if err := json.Unmarshal([]byte(runc("state", name)), &state); err != nil {
		t.Fatal(err)
	}
	filters, err := trace.Filters(state.Pid)
	if err != nil || len(filters) != 1 {
		t.Fatal(len(filters), err)
	}
	var program []byte
	for _, i := range filters[0] {
		program = binary.LittleEndian.AppendUint16(program, i.Code)
		program = append(program, i.Jt, i.Jf)
		program = binary.LittleEndian.AppendUint32(program, i.K)
	}
	lines := strings.Split(strings.TrimSpace(string(version)), "\n")
	return recording{By: strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "commit") }), ", "), Profile: p, Program: program}
}
