package oci

import (
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/host"
)

// maxProfiles bounds the cache: a host uses a handful of capability sets and
// profiles, and forgetting all of them costs a millisecond.
const maxProfiles = 64

// profiles remembers decided seccomp profiles.
type profiles struct {
	mu   sync.Mutex // guards made
	made map[profileKey]*specs.LinuxSeccomp
}

// profileKey is all that a decided profile depends on. An empty text is the default
// profile.
type profileKey struct {
	text, caps, arch string
	kernel           host.Version
}

func (c *profiles) get(k profileKey) (*specs.LinuxSeccomp, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.made[k]
	return p, ok
}

func (c *profiles) put(k profileKey, p *specs.LinuxSeccomp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made == nil || len(c.made) >= maxProfiles {
		c.made = make(map[profileKey]*specs.LinuxSeccomp)
	}
	c.made[k] = p
}

// of returns the profile for this text and machine, deciding it once. Two
// goroutines may decide the same one: the answers are equal.
func (c *profiles) of(text string, m Machine) (*specs.LinuxSeccomp, error) {
	k := profileKey{text, strings.Join(m.Caps, " "), m.Arch, m.Kernel}
	if p, ok := c.get(k); ok {
		return p, nil
	}
	decide := Profile
	if text == "" {
		decide = standard
	}
	p, err := decide(text, m)
	if err != nil {
		return nil, err
	}
	c.put(k, p)
	return p, nil
}
