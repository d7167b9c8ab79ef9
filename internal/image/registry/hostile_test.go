package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"carob/internal/fault"
	"carob/internal/image/registry/call"
)

// bigBlob returns the blob that a request is for, and whether it is a layer: the
// configuration is smaller.
func (s *server) bigBlob(r *http.Request) ([]byte, bool) {
	if !isBlob(r) {
		return nil, false
	}
	w := &recorded{header: http.Header{}}
	again := r.Clone(r.Context())
	again.Header.Del("Range")
	s.under.ServeHTTP(w, again)
	return w.body, len(w.body) > 10_000
}

type recorded struct {
	header http.Header
	body   []byte
}

func (w *recorded) Header() http.Header         { return w.header }
func (w *recorded) WriteHeader(int)             {}
func (w *recorded) Write(p []byte) (int, error) { w.body = append(w.body, p...); return len(p), nil }

func bigImage(t testing.TB, s *server) string {
	t.Helper()
	l, err := random.Layer(200_000, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	return s.upload(t, "big:1", imageOf(t, l))
}

// A connection that breaks is made again, and only what is missing is asked for.
func TestDownloadResumes(t *testing.T) {
	s := newServer(t)
	name := bigImage(t, s)
	var mu sync.Mutex
	var ranges []string
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		b, big := s.bigBlob(r)
		if !big {
			return false
		}
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		n := len(ranges)
		mu.Unlock()
		from := 0
		if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		end := len(b)
		if n < 4 {
			end = min(len(b), from+50_000)
		}
		_, _ = w.Write(b[from:end])
		if end < len(b) {
			panic(http.ErrAbortHandler)
		}
		return true
	})
	mustPull(t, newClient(t), name)
	mu.Lock()
	defer mu.Unlock()
	if len(ranges) != 4 || ranges[0] != "" || ranges[1] != "bytes=50000-" || ranges[3] != "bytes=150000-" {
		t.Errorf("asked for %q", ranges)
	}
}

// What a hostile or broken registry sends is refused in time, and nothing stays.
func TestHostileBlobs(t *testing.T) {
	forever := func(pause time.Duration, size int) func(w http.ResponseWriter, r *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, size)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				if pause > 0 {
					select {
					case <-time.After(pause):
					case <-r.Context().Done():
					}
				}
			}
		}
	}
	for _, test := range []struct {
		name  string
		send  func(w http.ResponseWriter, r *http.Request)
		kind  fault.Kind
		words string
	}{
		{"endless", forever(0, 64<<10), fault.Invalid, "more than"},
		{"trickle", forever(20*time.Millisecond, 1), fault.Unavailable, "next to nothing"},
		{"silence", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, fault.Unavailable, "next to nothing"},
		{"truncated", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 5_000)) }, fault.Unavailable, "sent 5000 of"},
		{"other bytes", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(w, zeros{}, mustSize(r))
		}, fault.Invalid, "wrong digest"},
		{"not found", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, fault.NotFound, "does not have"},
		{"broken again and again", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Unavailable, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			name := bigImage(t, s)
			s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				b, big := s.bigBlob(r)
				if !big {
					return false
				}
				r = r.WithContext(context.WithValue(r.Context(), sizeKey{}, int64(len(b))))
				test.send(w, r)
				return true
			})
			c := newClient(t)
			if test.words == "next to nothing" {
				c.downloads.pace.Window = 200 * time.Millisecond
			}
			_, err := pull(t, c, name)
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("pull: %v (%v); want %v, %q", err, fault.KindOf(err), test.kind, test.words)
			}
		})
	}
}

type sizeKey struct{}

func mustSize(r *http.Request) int64 { return r.Context().Value(sizeKey{}).(int64) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A registry that asks for patience gets it, and the user is told.
func TestBusyRegistry(t *testing.T) {
	s := newServer(t)
	name := bigImage(t, s)
	var refused atomic.Int32
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if refused.Add(1) > 3 {
			return false
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	var said []string
	_, err := newClient(t).Pull(t.Context(), name, PullOptions{Progress: func(p Progress) {
		if p.Step == call.Retrying {
			said = append(said, p.Text)
		}
	}})
	if err != nil || len(said) != 3 || !strings.Contains(said[0], "429") {
		t.Errorf("pull: %v, said %q", err, said)
	}
}

// Whoever waits for a download of somebody who gives up, gets it nevertheless.
func TestOneGivesUpOthersGoOn(t *testing.T) {
	s := newServer(t)
	name := bigImage(t, s)
	began, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if _, big := s.bigBlob(r); big {
			once.Do(func() { close(began) })
			<-release
		}
		return false
	})
	c := newClient(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.Pull(ctx, name, PullOptions{})
		first <- err
	}()
	<-began
	second := make(chan error, 1)
	go func() {
		_, err := pull(t, c, name)
		second <- err
	}()
	waitFor(t, func() bool { // the second has joined
		c.downloads.mu.Lock()
		defer c.downloads.mu.Unlock()
		for _, one := range c.downloads.all {
			return one.refs > 2
		}
		return false
	})
	cancel()
	if err := <-first; err == nil {
		t.Error("the cancelled pull succeeded")
	}
	close(release)
	if err := <-second; err != nil {
		t.Error(err)
	}
	if n := s.count(func(r string) bool { return strings.HasPrefix(r, "GET /v2/big/blobs") }); n != 3 { // two configurations, one layer
		t.Errorf("%d blobs were asked for", n)
	}
}

func waitFor(t *testing.T, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
	}
}

// Manifests that cannot be right are refused with words.
func TestHostileManifests(t *testing.T) {
	const config = `"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":%d}`
	manifestOf := func(rest string) string { return `{"schemaVersion":2,` + fmt.Sprintf(config, 2) + rest + `}` }
	many := strings.Repeat(`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},`, 300)
	for _, test := range []struct {
		name, mediaType, text string
		kind                  fault.Kind
		words                 string
	}{
		{"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1,"fsLayers":[]}`, fault.Unsupported, "schema 1"},
		{"both", "application/vnd.oci.image.manifest.v1+json", manifestOf(`,"layers":[],"manifests":[]`), fault.Invalid, "an index and as an image"},
		{"neither", "application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2}`, fault.Invalid, "neither"},
		{"no JSON", "application/vnd.oci.image.manifest.v1+json", `<html>`, fault.Invalid, "manifest"},
		{"lies", "application/vnd.oci.image.index.v1+json", manifestOf(`,"layers":[]`), fault.Invalid, "do not fit"},
		{"artifact", "application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"layers":[]}`, fault.Unsupported, "helm"},
		{"many layers", "application/vnd.oci.image.manifest.v1+json", manifestOf(`,"layers":[` + strings.TrimSuffix(many, ",") + `]`), fault.Invalid, "300 layers"},
		{"negative", "application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,` + fmt.Sprintf(config, -1) + `,"layers":[]}`, fault.Invalid, "size -1"},
		{"huge configuration", "application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,` + fmt.Sprintf(config, 1<<40) + `,"layers":[]}`, fault.Invalid, "size"},
		{"climbs", "application/vnd.oci.image.manifest.v1+json", manifestOf(`,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:../../x","size":1}]`), fault.Invalid, "digest"},
		{"encrypted", "application/vnd.oci.image.manifest.v1+json", manifestOf(`,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip+encrypted","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1}]`), fault.Unsupported, "encrypted"},
		{"other machines", "application/vnd.oci.image.index.v1+json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1,"platform":{"os":"linux","architecture":"s390x"}}]}`, fault.NotFound, "linux/s390x"},
		{"huge", "application/vnd.oci.image.manifest.v1+json", strings.Repeat(" ", maxManifest) + manifestOf(""), fault.Invalid, "at most"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/manifests/") {
					return false
				}
				w.Header().Set("Content-Type", test.mediaType)
				w.Header().Set("Content-Length", strconv.Itoa(len(test.text)))
				if r.Method == http.MethodGet {
					_, _ = io.WriteString(w, test.text)
				}
				return true
			})
			_, err := pull(t, newClient(t), s.host()+"/app:1")
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.words) || strings.Contains(err.Error(), "\n") {
				t.Errorf("pull: %v (%v); want %v, %q", err, fault.KindOf(err), test.kind, test.words)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"platform":{"os":"linux","architecture":"amd64"}}]}`), "application/vnd.oci.image.index.v1+json")
	f.Add([]byte(`{"config":{},"layers":[{"size":-1}]}`), "")
	f.Fuzz(func(t *testing.T, text []byte, mediaType string) {
		doc, err := parse(text, mediaType)
		switch {
		case err != nil:
			if fault.KindOf(err) == fault.Internal {
				t.Fatalf("%v has no kind", err)
			}
		case (doc.index == nil) == (doc.manifest == nil):
			t.Fatal("not exactly one")
		case doc.index != nil:
			want, _ := platform("linux/arm64") // a platform that is one
			_, _ = choose(doc.index, want)
		default:
			_ = checkManifest(doc.manifest)
		}
	})
}
