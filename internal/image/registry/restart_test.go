package registry

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"carob/internal/image"
)

// ranges gives the big blob in pieces: the first request gets so many bytes of it and then
// waits, later ones get what they ask for.
type ranges struct {
	mu    sync.Mutex
	asked []string
	sent  chan struct{}
}

func (rs *ranges) serve(s *server, first int) {
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		b, big := s.bigBlob(r)
		if !big {
			return false
		}
		rs.mu.Lock()
		rs.asked = append(rs.asked, r.Header.Get("Range"))
		n := len(rs.asked)
		rs.mu.Unlock()
		from := 0
		if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		if n > 1 {
			_, _ = w.Write(b[from:])
			return true
		}
		_, _ = w.Write(b[:first])
		w.(http.Flusher).Flush()
		close(rs.sent)
		<-r.Context().Done()
		return true
	})
}

// What has come of a blob when the daemon ends is not asked for again by the next one,
// and not believed either.
func TestDownloadOutlivesTheDaemon(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, file string)
		asked string
	}{
		{"whole", func(*testing.T, string) {}, `["" "bytes=70000-"]`},
		{"changed", func(t *testing.T, file string) { write(t, file, make([]byte, 70_000)) }, `["" "bytes=70000-" ""]`},
		{"too long", func(t *testing.T, file string) { write(t, file, make([]byte, 1<<20)) }, `["" ""]`},
		{"gone", func(t *testing.T, file string) { remove(t, file) }, `["" ""]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			name := bigImage(t, s)
			rs := &ranges{sent: make(chan struct{})}
			rs.serve(s, 70_000)
			root := filepath.Join(t.TempDir(), "images")
			store, err := image.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			life, end := context.WithCancel(t.Context())
			config := Config{Images: image.NewIntake(store), Files: Files{Dir: t.TempDir()}, Pace: newClient(t).c.Pace, Ending: func() bool { return life.Err() != nil }}
			c := New(config)
			failed := make(chan error, 1)
			go func() {
				_, err := c.Pull(life, name, PullOptions{})
				failed <- err
			}()
			<-rs.sent
			waitFor(t, func() bool { return came(c) == 70_000 })
			end()
			if err := <-failed; err == nil {
				t.Fatal("a pull succeeded whose daemon ended")
			}
			files, err := filepath.Glob(filepath.Join(root, "partial", "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("kept: %v, %v", files, err)
			}
			test.spoil(t, files[0])
			config.Ending = nil
			mustPull(t, New(config), name)
			checkClean(t, c, root)
			rs.mu.Lock()
			defer rs.mu.Unlock()
			if got := fmt.Sprintf("%q", rs.asked); got != test.asked {
				t.Errorf("asked for %s, not %s", got, test.asked)
			}
		})
	}
}

func came(c *Client) (n int64) {
	c.downloads.mu.Lock()
	defer c.downloads.mu.Unlock()
	for _, one := range c.downloads.all {
		n += one.came()
	}
	return n
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}
