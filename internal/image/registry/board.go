package registry

import (
	"sync"
	"time"
)

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
