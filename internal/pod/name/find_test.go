package name

import (
	"slices"
	"strings"
	"testing"

	"carob/internal/fault"
)

const (
	idA = "a111111111111111"
	idB = "a222222222222222"
	idC = "c333333333333333"
	idD = "d444444444444444"
)

func TestFindPod(t *testing.T) {
	all := []Pod{
		{ID: idA, Namespace: "default", Name: "web", Rank: 1},
		{ID: idB, Namespace: "default", Name: "web", Rank: 2},
		{ID: idC, Namespace: "shop", Name: "db", Live: true},
		{ID: idD, Name: "db", Solo: true, Live: true},
	}
	for _, c := range []struct{ ref, want, fails string }{
		{ref: "web", want: idB},         // none is live: the latest
		{ref: "db", want: idC},          // before a solo one
		{ref: "shop/db", want: idC},     //
		{ref: "/db", want: idD},         // solo pods have no namespace
		{ref: "c3", want: idC},          //
		{ref: "a", fails: "a222222222"}, // two begin so
		{ref: "default/db", fails: "no such pod"},
		{ref: "", fails: "no such pod"},
	} {
		id, err := FindPod(c.ref, slices.Values(all))
		if id != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%q: %q, %v", c.ref, id, err)
		}
	}
}

func TestFindContainer(t *testing.T) {
	web, db := Pod{ID: "p1", Namespace: "default", Name: "web"}, Pod{ID: "p2", Namespace: "shop", Name: "db"}
	all := []Container{
		{ID: idA, Name: "app", Pod: web, Rank: 1, Live: true},
		{ID: idB, Name: "app", Pod: web, Rank: 2},
		{ID: idC, Name: "side", Pod: web},
		{ID: idD, Name: "side", Pod: Pod{ID: "p3", Name: "side", Solo: true}},
	}
	find := func(ref, want string) {
		t.Helper()
		if id, err := FindContainer(ref, slices.Values(all)); id != want || err != nil {
			t.Errorf("%q: %q, %v", ref, id, err)
		}
	}
	find("app", idA) // the live attempt
	find("side", idD)
	find("d4", idD)
	if id, err := InPod("side", "web/side", slices.Values(all[:3])); id != idC || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	if _, err := InPod("none", "web/none", slices.Values(all)); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	all = append(all, Container{ID: "e5555555555555555", Name: "app", Pod: db})
	if _, err := FindContainer("app", slices.Values(all)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "shop/db/app") {
		t.Errorf("in two pods: %v", err)
	}
}

// TestContainersToldOfPod: a pod's name in the place of a container's is answered.
func TestContainersToldOfPod(t *testing.T) {
	kp := Pod{ID: "p1", Namespace: "default", Name: "kp"}
	all := slices.Values([]Container{{ID: idA, Name: "init", Pod: kp}, {ID: idB, Name: "app", Pod: kp}, {ID: idC, Name: "app", Pod: kp, Rank: 1}})
	if _, err := FindContainer("kp", all); !fault.Is(err, fault.NotFound) || err.Error() != "container kp: is a pod; its containers are kp/app, kp/init" {
		t.Error(err)
	}
	if _, err := InPod("no", "kp/no", all); !fault.Is(err, fault.NotFound) || err.Error() != "container kp/no: no such container; the pod's are kp/app, kp/init" {
		t.Error(err)
	}
	if _, err := FindContainer("nobody", all); !fault.Is(err, fault.NotFound) || !strings.HasSuffix(err.Error(), "no such container") {
		t.Error(err)
	}
}
