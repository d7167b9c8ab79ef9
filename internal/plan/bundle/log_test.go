package bundle

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLastError(t *testing.T) {
	for name, test := range map[string]struct{ log, want string }{
		"none":       {"", ""},
		"last":       {`{"level":"error","msg":"one"}` + "\n" + `{"level":"warning","msg":"two"}` + "\n" + `{"level":"fatal","msg":"three"}` + "\n", "three"},
		"not JSON":   {"oops\n" + `{"level":"error","msg":"one"}` + "\nrest", "one"},
		"cut":        {strings.Repeat("x", MaxLog) + "\n" + `{"level":"error","msg":"one"}`, "one"},
		"lines":      {`{"level":"error","msg":"a\nb\u0007c"}`, "a b c"},
		"long":       {`{"level":"error","msg":"` + strings.Repeat("y", 3000) + `"}`, strings.Repeat("y", 2000) + "…"},
		"wrong type": {`{"level":1,"msg":"one"}`, ""},
	} {
		if got := LastError([]byte(test.log)); got != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// FuzzLastError: one printable line of bounded length, whatever the log holds.
func FuzzLastError(f *testing.F) {
	f.Add([]byte(`{"level":"error","msg":"a\u0000b"}`))
	f.Fuzz(func(t *testing.T, log []byte) {
		got := LastError(log)
		if len(got) > 2010 || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q", got)
		}
	})
}

// TestDiagnose holds the words of runc 1.1, crun 1.8 and runsc 2022, as they wrote them.
func TestDiagnose(t *testing.T) {
	for message, want := range map[string]Trouble{
		`runc run failed: unable to start container process: exec: "nosuch": executable file not found in $PATH`:                                     NoCommand,
		`runc run failed: unable to start container process: exec: "/nosuch": stat /nosuch: no such file or directory`:                               NoCommand,
		"executable file `nosuch` not found in $PATH: No such file or directory":                                                                     NoCommand,
		`running container: starting container: starting sandbox: error finding executable "nosuch" in PATH [/bin]: no such file or directory`:       NoCommand,
		`runc run failed: unable to start container process: exec: "/etc": permission denied`:                                                        NotExecutable,
		"open executable: Operation not permitted":                                                                                                   NotExecutable,
		"running container: starting container: starting root container: starting sandbox: creating process: failed to load /etc: permission denied": NotExecutable,
		"exec user process caused: exec format error":                                                                                                NotExecutable,
		"container does not exist": NoContainer,
		"container not running":    NoContainer,
		`error mounting "/x" to rootfs at "/y": mount /x:/y: permission denied`:                              Other,
		`runc run failed: unable to start container process: error mounting "/x": no such file or directory`: Other,
		"": Other,
	} {
		if got := Diagnose(message); got != want {
			t.Errorf("%q: %d, want %d", message, got, want)
		}
	}
}
