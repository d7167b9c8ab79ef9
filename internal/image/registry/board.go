package registry

import (
	"sync"
	"time"
)

// Step is what is being done about a layer or an image.
type Step string

// The steps of a layer, in their order, and those of the image as a whole.
const (
	Waiting     Step = "waiting"
	Downloading Step = "downloading"
	Unpacking   Step = "unpacking"
	Pulled      Step = "pulled"
	Exists      Step = "exists"
	Uploading   Step = "uploading"
	Pushed      Step = "pushed"
	Mounted     Step = "mounted"

	// Found is the digest that the reference leads to, in Text.
	Found Step = "found"
	// Retrying says in Text why, and how long that takes.
	Retrying Step = "retrying"
	// Warning is something the user should know, in Text.
	Warning Step = "warning"
)

// Progress is the newest about one layer, or about the image when Layer is empty.
type Progress struct {
	// Layer is the first 12 digits of the blob's digest.
	Layer string `json:"layer,omitempty"`
	Step  Step   `json:"step"`
	// Done and Total are bytes of the blob: downloaded, unpacked or uploaded.
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
	Text  string `json:"text,omitempty"`
}

// refresh is the least time between two reports about the same layer.
const refresh = 100 * time.Millisecond

// board keeps the newest of each layer until the listener has time for it: a listener
// that is slow holds up nobody.
type board struct {
	tell func(Progress)
	wake chan struct{}
	end  chan struct{}
	gone sync.WaitGroup

	mu    sync.Mutex
	order []string // layers with news
	news  map[string]Progress
	texts []Progress // about the image: none is left out
}

// newBoard tells of progress, from one goroutine at a time, until close; tell may be nil.
func newBoard(tell func(Progress)) *board {
	b := &board{tell: tell, wake: make(chan struct{}, 1), end: make(chan struct{}), news: map[string]Progress{}}
	if tell != nil {
		b.gone.Go(b.run)
	}
	return b
}

// close tells the last news and returns when everything has been told.
func (b *board) close() {
	close(b.end)
	b.gone.Wait()
}

// maxTexts bounds what is kept for a listener that does not listen.
const maxTexts = 100

func (b *board) set(p Progress) {
	if b.tell == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch _, known := b.news[p.Layer]; {
	case p.Layer != "":
		if !known {
			b.order = append(b.order, p.Layer)
		}
		b.news[p.Layer] = p
	case len(b.texts) < maxTexts:
		b.texts = append(b.texts, p)
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *board) take() []Progress {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.texts
	for _, layer := range b.order {
		list = append(list, b.news[layer])
	}
	b.texts, b.order = nil, nil
	clear(b.news)
	return list
}

func (b *board) run() {
	for more := true; more; {
		select {
		case <-b.wake:
		case <-b.end:
			more = false
		}
		for _, p := range b.take() {
			b.tell(p)
		}
		if more {
			b.rest()
		}
	}
}

// rest lets news gather.
func (b *board) rest() {
	t := time.NewTimer(refresh)
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.end:
	}
}
