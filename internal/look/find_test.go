package look

import (
	"strings"
	"testing"

	"carob/internal/fault"
)

// twins are a pod foo whose container is foo too, and two containers whose IDs begin
// alike.
const twins = initProcess + `
30 1 0 30 / carob-pod dddddddddddd
  mnt=15
  fd/2: -> /run/carob/pods/$D/supervisor.log
31 30 0 31,1 /carob/$D/$A httpd
  mnt=19
50 1 0 50,1 /docker/cafe000000000000000000000000000000000000000000000000000000000001 a
  mnt=51
60 1 0 60,1 /docker/cafe000000000000000000000000000000000000000000000000000000000002 b
  mnt=61
61 60 0 61,2 /docker/cafe000000000000000000000000000000000000000000000000000000000002 b
  mnt=61
70 1 0 70 / unshare
  mnt=71
`

func TestFind(t *testing.T) {
	root := recordTree(t, twins)
	carobState(t, root)
	put(t, root+"/run/carob/state/container/"+idA+".json", `{"status":{"id":"`+idA+`","name":"foo","podID":"`+idD+`"}}`)
	h := readTree(t, root, Options{})
	for _, c := range []struct {
		word, is, name string
		leader, pids   int
		err            fault.Kind
	}{
		{"host", ThingHost, "host", 0, 1, 0},
		{"31", ThingProcess, "httpd:31", 31, 1, 0},
		{"foo", ThingContainer, "foo/foo", 31, 1, 0},
		{"foo/foo", ThingContainer, "foo/foo", 31, 1, 0},
		{"foo@dddddd", ThingPod, "foo", 30, 2, 0},
		{"foo@dddddd/foo", ThingContainer, "foo/foo", 31, 1, 0},
		{"foo@aaaaaa", ThingContainer, "foo/foo", 31, 1, 0},
		{"default/foo", "", "", 0, 0, fault.NotFound},
		{"foo@bbbbbb", "", "", 0, 0, fault.NotFound},
		{"foo@", "", "", 0, 0, fault.NotFound},
		{"pod:foo", ThingPod, "foo", 30, 2, 0},
		{"foo/sandbox", ThingContainer, "foo/sandbox", 30, 1, 0},
		{idD, ThingPod, "foo", 30, 2, 0},
		{"ddd", ThingPod, "foo", 30, 2, 0},
		{"cafe", "", "", 0, 0, fault.Conflict},
		{"cafe000000000000000000000000000000000000000000000000000000000002", ThingContainer, "cafe00000000@cafe00@60", 60, 2, 0},
		{"cafe00000000@cafe00@50", ThingContainer, "cafe00000000@cafe00@50", 50, 1, 0},
		{"unshare:70", ThingContainer, "unshare:70", 70, 1, 0},
		{"dd", "", "", 0, 0, fault.NotFound}, // too short to be the beginning of an ID
		{"", "", "", 0, 0, fault.NotFound},
		{"pod:", "", "", 0, 0, fault.NotFound},
		{"999", "", "", 0, 0, fault.NotFound},
		{"sandbox", "", "", 0, 0, fault.NotFound},
		{"nobody", "", "", 0, 0, fault.NotFound},
	} {
		t.Run(c.word, func(t *testing.T) {
			got, err := h.Find(c.word)
			if c.is == "" {
				if !fault.Is(err, c.err) {
					t.Errorf("error %v, want %v", err, c.err)
				}
				return
			}
			if err != nil || got.Is != c.is || got.Name != c.name || got.Leader != c.leader || len(got.PIDs) != c.pids {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestFindTellsWhatIsMeant(t *testing.T) {
	h := readTree(t, recordTree(t, twins), Options{})
	_, err := h.Find("cafe")
	if err == nil || !strings.Contains(err.Error(), "process 50") || !strings.Contains(err.Error(), "process 60") {
		t.Errorf("%v: want words that tell them apart", err)
	}
}

func TestThings(t *testing.T) {
	root := recordTree(t, twins)
	carobState(t, root)
	h := readTree(t, root, Options{})
	if th := h.ProcessThing(h.Process(61)); th.Container == nil || th.Container.Leader != 60 || th.Pod != nil || th.NS[Mnt] != 61 {
		t.Errorf("process: %+v", th)
	}
	if th := h.PodThing(0); th.Pod.ID != idD || th.NS[Mnt] != 15 {
		t.Errorf("pod: %+v", th)
	}
	if th := h.HostThing(); len(th.PIDs) != 1 || th.PIDs[0] != 1 || th.NS != h.NS {
		t.Errorf("host: %+v", th)
	}
}
