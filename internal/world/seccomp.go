package world

import (
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/seccomp"
	"carob/internal/sys/initstage"
)

// Filters keeps compiled seccomp filters: pods use few different profiles. The zero value
// is ready. It is safe for concurrent use.
type Filters struct {
	// NoX32 is set before the first use where the kernel has no x32 interface.
	NoX32 bool

	mu    sync.Mutex
	known map[*specs.LinuxSeccomp]initstage.Seccomp
}

// maxFilters bounds the cache; a full one is emptied.
const maxFilters = 64

// Get compiles a profile, once; nil gives no filter.
func (c *Filters) Get(profile *specs.LinuxSeccomp) (initstage.Seccomp, error) {
	if profile == nil {
		return initstage.Seccomp{}, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.known[profile]; ok {
		return f, nil
	}
	compiled, err := seccomp.Compile(profile, seccomp.Kernel{NoX32: c.NoX32})
	if err != nil {
		return initstage.Seccomp{}, err
	}
	f := initstage.Seccomp{Filter: compiled.Program, Flags: uint(compiled.Flags)}
	if c.known == nil || len(c.known) >= maxFilters {
		c.known = map[*specs.LinuxSeccomp]initstage.Seccomp{}
	}
	c.known[profile] = f
	return f, nil
}
