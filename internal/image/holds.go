package image

import (
	"os"
	"path/filepath"
	"sync"
)

// holds is what imports under way have, and Sweep and Remove leave alone.
type holds struct {
	tmp string // the directory of all temps

	mu    sync.Mutex
	pins  map[string]int      // layers that an import counts on
	temps map[string]struct{} // names below tmp that belong to somebody
}

func newHolds(tmp string) *holds {
	return &holds{tmp: tmp, pins: map[string]int{}, temps: map[string]struct{}{}}
}

// pin keeps a layer, whether or not it is there yet, until it is unpinned.
func (h *holds) pin(hex string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pins[hex]++
}

func (h *holds) unpin(pinned []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, hex := range pinned {
		if h.pins[hex]--; h.pins[hex] == 0 {
			delete(h.pins, hex)
		}
	}
}

// temp is a directory below tmp that Sweep leaves alone until it is closed.
type temp struct {
	holds *holds
	dir   string
}

func (h *holds) temp(prefix string) (*temp, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tempLocked(prefix)
}

func (h *holds) tempLocked(prefix string) (*temp, error) {
	dir, err := os.MkdirTemp(h.tmp, prefix)
	if err != nil {
		return nil, err
	}
	h.temps[filepath.Base(dir)] = struct{}{}
	return &temp{h, dir}, nil
}

func (t *temp) close() error {
	err := removeTree(t.dir)
	t.holds.mu.Lock()
	defer t.holds.mu.Unlock()
	delete(t.holds.temps, filepath.Base(t.dir))
	return err
}

// litter lists what lies below tmp and belongs to nobody alive.
func (h *holds) litter() ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	entries, err := os.ReadDir(h.tmp)
	var paths []string
	for _, e := range entries {
		if _, alive := h.temps[e.Name()]; !alive {
			paths = append(paths, filepath.Join(h.tmp, e.Name()))
		}
	}
	return paths, err
}
