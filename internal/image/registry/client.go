package registry

import (
	"log/slog"
	"sync/atomic"
	"time"

	"carob/internal/image"
)

// Config says how registries are spoken to.
type Config struct {
	// Images takes what is pulled.
	Images *image.Intake
	// Files are those that New begins with.
	Files
	// Ending says that the daemon is going: what has come of a blob by then is kept for the
	// next one, which need not get it again. Nil is never.
	Ending func() bool
	// Agent is the User-Agent that registries see.
	Agent string
	// Log gets a line for each image that was pulled or pushed; nil is nobody.
	Log *slog.Logger
	// Received is told how many bytes of blobs have come, as they come; nil is nobody.
	Received func(n int)
	// Pace bounds waiting; zero fields are the defaults.
	Pace Pace
}

// Files say what registries are to a client; their contents are read at every call.
type Files struct {
	// Dir holds HOST/hosts.toml in containerd's form. One that is missing or empty means
	// no special hosts.
	Dir string
	// Policy is a file in the form of containers-policy.json(5), read at every pull; one
	// that is missing requires nothing.
	Policy string
}

// Pace bounds how long a registry is waited for.
type Pace struct {
	// Window is the time in which a download must bring at least Least bytes, or end; when
	// it does not, the connection is given up and another one goes on from there. The
	// defaults are 30 s and 64 KiB.
	Window time.Duration
	Least  int64
	// Attempts bounds how often a request is made, and how often a download may begin
	// anew without having brought Least bytes; 5 by default.
	Attempts int
	// Pause is the time before the second attempt, doubled each time; 500 ms by default.
	// MostPause bounds it, and what a registry asks for by Retry-After; 60 s by default.
	Pause, MostPause time.Duration
	// Answer bounds the time for a manifest or configuration, attempts included; 2
	// minutes by default.
	Answer time.Duration
}

func (p Pace) orDefault() Pace {
	if p.Window == 0 {
		p.Window = 30 * time.Second
	}
	if p.Least == 0 {
		p.Least = 64 << 10
	}
	if p.Attempts == 0 {
		p.Attempts = 5
	}
	if p.Pause == 0 {
		p.Pause = 500 * time.Millisecond
	}
	if p.MostPause == 0 {
		p.MostPause = 60 * time.Second
	}
	if p.Answer == 0 {
		p.Answer = 2 * time.Minute
	}
	return p
}

// Client pulls and pushes for one store. It keeps no connections and no credentials
// between calls. Its methods may be called concurrently.
type Client struct {
	c         Config
	files     atomic.Pointer[Files]
	downloads *downloads
}

// New returns a client. Nothing is opened or read.
func New(c Config) *Client {
	c.Pace = c.Pace.orDefault()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Ending == nil {
		c.Ending = func() bool { return false }
	}
	if c.Received == nil {
		c.Received = func(int) {}
	}
	client := &Client{c: c, downloads: newDownloads(c)}
	client.Use(c.Files)
	return client
}

// Use has calls that begin from now on read other files.
func (c *Client) Use(f Files) { c.files.Store(&f) }

// now is the client for one call, whose files stay the same until it ends.
func (c *Client) now() *Client {
	fixed := c.c
	fixed.Files = *c.files.Load()
	return &Client{c: fixed, downloads: c.downloads}
}
