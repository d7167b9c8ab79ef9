package picture

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestView starts a page about this process, asks for it, and ends it.
func TestView(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer w.Close()
		c := View(Env{Stdout: w})
		c.SetArgs([]string{strconv.Itoa(os.Getpid())})
		ended <- c.ExecuteContext(ctx)
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
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestViewRefuses(t *testing.T) {
	c := View(Env{})
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs([]string{"no-such-thing"})
	if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-thing") {
		t.Error(err)
	}
}
