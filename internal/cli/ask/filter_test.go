package ask

import (
	"strings"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

func TestFilterFits(t *testing.T) {
	at := time.Unix(1000, 0)
	c := Seen{
		Container: status.Container{ID: "abc", Name: "web", CreatedAt: at, Spec: spec.Container{Mounts: []spec.Mount{{Type: spec.Volume, Source: "data", Target: "/var/lib"}}}},
		Networks:  []string{"front", "back"},
		Ports:     []spec.Port{{HostPort: 8080, ContainerPort: 80}, {HostPort: 53, ContainerPort: 53, Protocol: "UDP"}},
	}
	for words, want := range map[string]bool{
		"": true, "network=back": true, "network=other": false, "network=other network=front": true,
		"volume=data": true, "volume=/var/lib": true, "volume=dat": false,
		"publish=8080": true, "publish=8080/udp": false, "publish=53/udp": true, "publish=8000-8100": true, "publish=80": false,
		"network=back publish=1": false, "name=we volume=data": true,
	} {
		f, err := Filters(strings.Fields(words))
		if err != nil {
			t.Fatal(words, err)
		}
		if f.Fits(c) != want {
			t.Errorf("%s: %t", words, !want)
		}
	}
	for _, d := range []struct {
		since, before time.Time
		want          bool
	}{
		{time.Time{}, at, false}, {at, time.Time{}, false}, {time.Time{}, at.Add(1), true}, {at.Add(-1), at.Add(1), true}, {at.Add(1), time.Time{}, false},
	} {
		c.Since, c.Before = d.since, d.before
		if (Filter{}).Fits(c) != d.want {
			t.Errorf("%+v", d)
		}
	}
	for _, word := range []string{"publish=x", "publish=80/tls", "publish=9-8", "health=healthy", "expose=80", "is-task=true", "status=dead", "network"} {
		if _, err := Filters([]string{word}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", word, err)
		}
	}
}
