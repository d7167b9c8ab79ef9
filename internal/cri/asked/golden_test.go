package asked

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/fault"
	"carob/internal/host"
)

var update = flag.Bool("update", false, "write the golden files anew")

// machine is the host of the golden files: what a kubelet meets on a small VM.
func machine() Host {
	return Host{
		Facts: host.Facts{SwapAccounting: true}, Hostname: "node-1",
		ReadProfile: func(path string) (string, error) {
			if path != "/profiles/p.json" {
				return "", fault.New(fault.NotFound, "no such profile")
			}
			return `{"defaultAction":"SCMP_ACT_ALLOW"}`, nil
		},
		CheckAppArmor: func(profile string) error {
			if profile == "absent" {
				return fault.New(fault.Conflict, "is not loaded")
			}
			return nil
		},
	}
}

// TestGolden holds whole translations: each file has sandbox.json, a RunPodSandbox
// request, and perhaps container.json, a CreateContainer request for it, and what
// they become.
func TestGolden(t *testing.T) {
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
			asked, wanted := split(archive)
			got := translate(t, asked)
			if *update {
				archive.Files = append(asked, got...)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(text(wanted), text(got)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func text(files []txtar.File) map[string]string {
	out := map[string]string{}
	for _, f := range files {
		out[f.Name] = string(f.Data)
	}
	return out
}

func split(a *txtar.Archive) (asked, wanted []txtar.File) {
	for _, f := range a.Files {
		if f.Name == "sandbox.json" || f.Name == "container.json" {
			asked = append(asked, f)
		} else {
			wanted = append(wanted, f)
		}
	}
	return asked, wanted
}

func translate(t *testing.T, asked []txtar.File) []txtar.File {
	t.Helper()
	var sandbox cri.RunPodSandboxRequest
	if err := protojson.Unmarshal(asked[0].Data, &sandbox); err != nil {
		t.Fatal(err)
	}
	pod, err := Pod(sandbox.GetConfig(), sandbox.GetRuntimeHandler(), machine())
	if err != nil {
		return []txtar.File{refusal(err)}
	}
	out := []txtar.File{result(t, "pod.json", pod)}
	if len(asked) < 2 {
		return out
	}
	var container cri.CreateContainerRequest
	if err := protojson.Unmarshal(asked[1].Data, &container); err != nil {
		t.Fatal(err)
	}
	c, err := Container(&container, &pod, machine())
	if err != nil {
		return append(out, refusal(err))
	}
	return append(out, result(t, "spec.json", c))
}

func refusal(err error) txtar.File {
	return txtar.File{Name: "error.txt", Data: []byte(fault.KindOf(err).String() + ": " + err.Error() + "\n")}
}

func result(t *testing.T, name string, v any) txtar.File {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return txtar.File{Name: name, Data: append(b, '\n')}
}
