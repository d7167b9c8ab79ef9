package cli

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"carob/internal/api"
)

// TestView starts a page about this process, asks for it, and ends it.
func TestView(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() {
		defer w.Close()
		code <- Main(ctx, Env{
			Args: []string{"view", strconv.Itoa(os.Getpid())}, Stdin: null, Stdout: w, Stderr: null,
			LookupEnv: func(string) (string, bool) { return "", false }, About: api.About{Version: "test"},
		})
	}()
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatal(address, err)
	}
	answer, err := http.Get(strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if b, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(b), "carob view") {
		t.Errorf("%d, %v, %.100q", answer.StatusCode, err, b)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("ends with %d", got)
	}
}

func TestViewRefuses(t *testing.T) {
	if code, _, stderr := looking(t, "view", "no-such-thing"); code != 1 || !strings.Contains(stderr, "no-such-thing") {
		t.Errorf("code %d, %q", code, stderr)
	}
}
