package shown

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

// received is what a client makes of an answer.
func received(t *testing.T, sent, into proto.Message) {
	t.Helper()
	b, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// TestLists: what a client receives of a list is each thing as it is alone, whatever its
// labels are.
func TestLists(t *testing.T) {
	long := make([]byte, 70_000)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	for name, m := range map[string]map[string]string{
		"none": nil, "empty": {}, "one": {"a": "b"}, "no value": {"a": ""}, "no key": {"": "b"}, "many": {"a": "1", "b": "2", "ключ": "значение"}, "long": {"a": string(long)},
	} {
		p := status.Pod{ID: "p", Name: "web", Namespace: "shop", State: lifecycle.PodReady, CreatedAt: time.Unix(5, 0)}
		p.Spec = spec.Pod{UID: "u", Attempt: 3, Labels: m, Annotations: map[string]string{"x": "y"}, Handler: "runc"}
		c := status.Container{ID: "c", PodID: "p", Name: "app", Image: "i", ImageID: "sha256:1", State: lifecycle.ContainerRunning, CreatedAt: time.Unix(6, 0)}
		c.Spec = spec.Container{Labels: map[string]string{"x": "y"}, Annotations: m, Attempt: 2}
		pods, err := SandboxList([]*cri.PodSandbox{Sandbox(p), Sandbox(status.Pod{ID: "q"}), Sandbox(p)})
		if err != nil {
			t.Fatal(err)
		}
		var gotPods cri.ListPodSandboxResponse
		received(t, pods, &gotPods)
		if d := cmp.Diff([]*cri.PodSandbox{Sandbox(p), Sandbox(status.Pod{ID: "q"}), Sandbox(p)}, gotPods.GetItems(), protocmp.Transform()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		containers, err := ContainerList([]*cri.Container{Container(c)})
		if err != nil {
			t.Fatal(err)
		}
		var gotContainers cri.ListContainersResponse
		received(t, containers, &gotContainers)
		if d := cmp.Diff([]*cri.Container{Container(c)}, gotContainers.GetContainers(), protocmp.Transform()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	none, err := SandboxList(nil)
	if err != nil || proto.Size(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
}
