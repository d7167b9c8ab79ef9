package oci

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/tools/txtar"

	"carob/internal/fault"
	"carob/internal/plan/ident"
	"carob/internal/spec"

	"github.com/google/go-cmp/cmp"
)

// input is a golden file's request.json: a request, with an exec where a file asks
// for one.
type input struct {
	Request
	Exec     *spec.Exec
	ExecUser ident.Identity
}

// TestGolden holds whole plans: each file of testdata has request.json and the
// wanted spec.json, exec.json or error.txt.
func TestGolden(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var in input
			d := json.NewDecoder(bytes.NewReader(section(archive, "request.json")))
			d.DisallowUnknownFields()
			if err := d.Decode(&in); err != nil {
				t.Fatal(err)
			}
			name, got := run(t, in)
			if update {
				archive.Files = append(archive.Files[:1], txtar.File{Name: name, Data: got})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(section(archive, name)), string(got)); d != "" {
				t.Errorf("%s (-want +got):\n%s", name, d)
			}
		})
	}
}

func run(t *testing.T, in input) (name string, got []byte) {
	t.Helper()
	planned, err := Container(in.Request)
	if err != nil {
		return "error.txt", []byte(fault.KindOf(err).String() + ": " + err.Error() + "\n")
	}
	if planned.Linux.Seccomp != nil { // has a test of its own and 400 lines
		planned.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: planned.Linux.Seccomp.DefaultAction}
	}
	var value any = planned
	name = "spec.json"
	if in.Exec != nil {
		name = "exec.json"
		if value, err = Process(in.Request, planned.Process, *in.Exec, in.ExecUser); err != nil {
			return "error.txt", []byte(fault.KindOf(err).String() + ": " + err.Error() + "\n")
		}
	}
	got, err = json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return name, append(got, '\n')
}

func section(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}
