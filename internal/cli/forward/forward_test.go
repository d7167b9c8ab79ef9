package forward

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/testenv"
)

func TestParse(t *testing.T) {
	named := []spec.Port{{Name: "http", ContainerPort: 80}, {Name: "dns", ContainerPort: 53, Protocol: "UDP"}, {ContainerPort: 9}}
	for word, want := range map[string]Rule{
		"80": {80, 80}, "8080:80": {8080, 80}, ":80": {0, 80}, "0:80": {0, 80}, "65535": {65535, 65535},
		"8080:http": {8080, 80}, "http": {80, 80}, ":http": {0, 80},
	} {
		if got, err := Parse(word, named); err != nil || got != want {
			t.Errorf("%q: %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"", ":", "0", "80:0", "x", "80:x", "x:80", "65536", "-1", "+80", "1:2:3", "80:", "dns", "80:80/udp", " 80"} {
		if got, err := Parse(word, named); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, %v", word, got, err)
		}
	}
}

func TestListen(t *testing.T) {
	ls, err := Listen([]string{"localhost"}, []Rule{{0, 80}, {0, 81}})
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(ls)
	ports := map[uint16]map[uint16]bool{}
	for _, l := range ls {
		if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("listens on %s", l.Addr())
		}
		if ports[l.Remote] == nil {
			ports[l.Remote] = map[uint16]bool{}
		}
		ports[l.Remote][port(l.TCPListener)] = true
	}
	if len(ports) != 2 || len(ports[80]) != 1 || len(ports[81]) != 1 {
		t.Errorf("remote → local ports: %v", ports)
	}
	taken := port(ls[0].TCPListener)
	if _, err := Listen([]string{"127.0.0.1"}, []Rule{{0, 80}, {taken, 80}}); !errors.Is(err, syscall.EADDRINUSE) || !fault.Is(err, fault.Conflict) {
		t.Errorf("a taken port: %v", err)
	}
	if _, err := Listen([]string{"example.org"}, []Rule{{0, 80}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a name: %v", err)
	}
}

// pod serves one port of a pretended pod with serve.
func pod(t *testing.T, serve func(*net.TCPConn)) func(context.Context, uint16) (*os.File, error) {
	t.Helper()
	l, err := net.ListenTCP("tcp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	work.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			work.Go(func() { defer c.Close(); serve(c) })
		}
	})
	return func(context.Context, uint16) (*os.File, error) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.(*net.TCPConn).File()
	}
}

// forward begins to forward to dial and returns the address and what was reported.
func forward(t *testing.T, dial func(context.Context, uint16) (*os.File, error)) (string, chan error) {
	t.Helper()
	ls, err := Listen([]string{"127.0.0.1"}, []Rule{{0, 80}})
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan error, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Forwarder{Dial: dial, Report: func(err error) { reports <- err }}.Serve(ctx, ls) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(testenv.Patience(10 * time.Second)):
			t.Error("does not end")
		}
	})
	return ls[0].Addr().String(), reports
}

func open(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(testenv.Patience(20 * time.Second)))
	return c.(*net.TCPConn)
}

// TestHalfClose: the server learns of the client's end and can still answer; and a
// server that ends first can still be written to.
func TestHalfClose(t *testing.T) {
	got := make(chan string, 1)
	at, _ := forward(t, pod(t, func(c *net.TCPConn) {
		b, _ := io.ReadAll(c)
		_, _ = c.Write([]byte("got " + string(b)))
	}))
	c := open(t, at)
	if _, err := c.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "got question" {
		t.Errorf("%q, %v", b, err)
	}
	at, _ = forward(t, pod(t, func(c *net.TCPConn) {
		_ = c.CloseWrite()
		b, _ := io.ReadAll(c)
		got <- string(b)
	}))
	c = open(t, at)
	if b, err := io.ReadAll(c); err != nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := c.Write([]byte("later")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if s := <-got; s != "later" {
		t.Errorf("the server got %q", s)
	}
}

func TestManyAndLarge(t *testing.T) {
	at, reports := forward(t, pod(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c); _ = c.CloseWrite() }))
	block := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB
	var work sync.WaitGroup
	for range 40 {
		work.Go(func() {
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			go func() { _, _ = c.Write(block); _ = c.(*net.TCPConn).CloseWrite() }()
			if b, err := io.ReadAll(c); err != nil || !bytes.Equal(b, block) {
				t.Errorf("%d bytes came back, %v", len(b), err)
			}
		})
	}
	work.Wait()
	if len(reports) > 0 {
		t.Errorf("reported %v", <-reports)
	}
}

func TestRefusedIsSaidAndReset(t *testing.T) {
	connected := make(chan struct{})
	at, reports := forward(t, func(context.Context, uint16) (*os.File, error) {
		<-connected
		return nil, errors.New("connection refused")
	})
	c := open(t, at)
	close(connected)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	if err := <-reports; !strings.Contains(err.Error(), at+" → 80: connection refused") {
		t.Errorf("reported %v", err)
	}
}

// TestBrokenPeer: a reset on one side reaches the other and is nobody's error.
func TestBrokenPeer(t *testing.T) {
	at, reports := forward(t, pod(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 1)); _ = c.SetLinger(0) }))
	c := open(t, at)
	if _, err := c.Write([]byte("xyz")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	if len(reports) > 0 {
		t.Errorf("reported %v", <-reports)
	}
}
