package seccomp

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/ident"
)

func defaultProfile(t testing.TB, caps ...string) *specs.LinuxSeccomp {
	t.Helper()
	p, err := Default(caps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefault(t *testing.T) {
	for name, caps := range map[string][]string{"no capability": nil, "all": ident.All()} {
		t.Run(name, func(t *testing.T) {
			p := defaultProfile(t, caps...)
			f := compare(t, runtime.GOARCH, p)
			again, err := Compile(defaultProfile(t, caps...), Kernel{})
			if err != nil || !bytes.Equal(f.Program, again.Program) {
				t.Errorf("two compilations differ: %v", err)
			}
			_, steps, _ := execute(f.Program, data{nr: 1, arch: auditX86_64})
			t.Logf("%d instructions, %d for write", f.Instructions(), steps)
			if steps > 20 {
				t.Errorf("write takes %d instructions", steps)
			}
		})
	}
}

func TestDefaultSays(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("numbers of amd64")
	}
	plain, err := Compile(defaultProfile(t), Kernel{})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := Compile(defaultProfile(t, "CAP_SYS_ADMIN"), Kernel{})
	if err != nil {
		t.Fatal(err)
	}
	noX32, err := Compile(defaultProfile(t), Kernel{NoX32: true})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := noX32.Instructions(), plain.Instructions(); a > b*3/4 {
		t.Errorf("%d instructions without x32, %d with it", a, b)
	}
	tests := map[string]struct {
		f    Filter
		d    data
		want uint32
	}{
		"read":                     {plain, data{nr: 0, arch: auditX86_64}, retAllow},
		"mount":                    {plain, data{nr: 165, arch: auditX86_64}, retErrno | eperm},
		"mount for an admin":       {admin, data{nr: 165, arch: auditX86_64}, retAllow},
		"clone of a thread":        {plain, data{nr: 56, arch: auditX86_64, args: [6]uint64{0x11}}, retAllow},
		"clone of a namespace":     {plain, data{nr: 56, arch: auditX86_64, args: [6]uint64{0x10000000}}, retErrno | eperm},
		"clone3 falls back":        {plain, data{nr: 435, arch: auditX86_64}, retErrno | enosys},
		"AF_ALG":                   {plain, data{nr: 41, arch: auditX86_64, args: [6]uint64{38}}, retErrno | eperm},
		"AF_VSOCK":                 {plain, data{nr: 41, arch: auditX86_64, args: [6]uint64{40}}, retErrno | eperm},
		"AF_INET":                  {plain, data{nr: 41, arch: auditX86_64, args: [6]uint64{2}}, retAllow},
		"a call of next year":      {plain, data{nr: 480, arch: auditX86_64}, retErrno | enosys},
		"the same on x86":          {plain, data{nr: 480, arch: auditX86}, retErrno | enosys},
		"x32":                      {plain, data{nr: x32Bit | 1, arch: auditX86_64}, retAllow},
		"x32 of a kernel without":  {noX32, data{nr: x32Bit | 1, arch: auditX86_64}, retErrno | enosys},
		"the rest of such a one":   {noX32, data{nr: 0, arch: auditX86_64}, retAllow},
		"and its x86":              {noX32, data{nr: 3, arch: auditX86}, retAllow},
		"a foreign architecture":   {plain, data{nr: 0, arch: auditAArch64}, retKillProcess},
		"keyctl is an old refusal": {plain, data{nr: 250, arch: auditX86_64}, retErrno | eperm},
	}
	for name, tt := range tests {
		if got, _, err := execute(tt.f.Program, tt.d); got != tt.want || err != nil {
			t.Errorf("%s: %#x, want %#x, %v", name, got, tt.want, err)
		}
	}
}

const childEnv = "CAROB_TEST_SECCOMP_CHILD"

// TestLoad loads the default filter into a child, which then finds out what it may.
func TestLoad(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		t.Skip("the child's part is TestLoadChild")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLoadChild$")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "keyctl "+strconv.Itoa(int(syscall.EPERM))+" next "+strconv.Itoa(int(syscall.ENOSYS))+" getpid 0") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestLoadChild(t *testing.T) {
	if os.Getenv(childEnv) == "" || runtime.GOARCH != "amd64" {
		t.Skip("only in the child of TestLoad, with amd64's numbers")
	}
	f, err := Compile(defaultProfile(t), Kernel{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // never unlocked: the filter stays on this thread
	fprog := struct {
		n    uint16
		code unsafe.Pointer
	}{uint16(f.Instructions()), unsafe.Pointer(&f.Program[0])}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, 38, 1, 0, 0, 0, 0); e != 0 { // PR_SET_NO_NEW_PRIVS
		t.Fatal(e)
	}
	if _, _, e := syscall.RawSyscall(317, 1, uintptr(f.Flags), uintptr(unsafe.Pointer(&fprog))); e != 0 { // seccomp(SET_MODE_FILTER)
		t.Fatal(e)
	}
	runtime.KeepAlive(f)
	_, _, keyctl := syscall.RawSyscall(syscall.SYS_KEYCTL, 0, 0, 0)
	_, _, next := syscall.RawSyscall(9999, 0, 0, 0)
	_, _, getpid := syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
	os.Stdout.WriteString("keyctl " + strconv.Itoa(int(keyctl)) + " next " + strconv.Itoa(int(next)) + " getpid " + strconv.Itoa(int(getpid)) + "\n")
}

func BenchmarkCompileDefault(b *testing.B) {
	p := defaultProfile(b)
	for b.Loop() {
		if _, err := Compile(p, Kernel{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDefault(b *testing.B) {
	for b.Loop() {
		defaultProfile(b)
	}
}
