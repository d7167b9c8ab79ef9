// Package plugin is the engine's contract with what may change or refuse what it is asked:
// the devices that others describe (CDI), and programs of an administrator's (NRI).
//
// They are asked before something is made, with the pod's lock held: an answer that does not
// come holds up that pod only. What has happened they learn from the engine's events, like
// everybody else. What they change is a request again, checked like one: the engine trusts
// them with no more than a client.
package plugin

import (
	"context"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/spec"
	"carob/internal/status"
)

// Devices describes devices.
type Devices interface {
	// Inject returns c with what its CDI devices are made of, or nil when it names none: c
	// itself stays as it is. NotFound is about a device, other kinds about its description.
	Inject(c *spec.Container) (*spec.Container, error)
}

// Hooks are asked before something is made. An error refuses it; after every error they have
// forgotten what they were asked about.
type Hooks interface {
	// RunPod is asked when a pod's sandbox is up and before anybody sees the pod; for a solo
	// pod, which has none yet, before its container is made.
	RunPod(ctx context.Context, p status.Pod) error
	// Create is asked before a container is made. It returns the request to make it from,
	// or nil to leave it as it is.
	Create(ctx context.Context, d Draft) (*spec.Container, error)
	// Start is asked before each start of a container.
	Start(ctx context.Context, c status.Container) error
	// Update is asked before limits change, and returns those to set.
	Update(ctx context.Context, c status.Container, limits *specs.LinuxResources) (*specs.LinuxResources, error)
	// UpdatePod is asked before a pod's limits change, and overhead with them; the caller says done
	// when they have.
	UpdatePod(ctx context.Context, p status.Pod, overhead, limits *specs.LinuxResources) (done func(), err error)
	// Forget takes RunPod or, with a container's ID, Create back: what they were asked about was
	// not made after all. It waits for nobody.
	Forget(podID, containerID string)
}

// Draft is a container about to be made.
type Draft struct {
	Pod       status.Pod
	Container status.Container
	// OCI is what it would be made from.
	OCI *specs.Spec
}

// None describes no devices and has nothing against anything.
type None struct{}

// Inject returns nil.
func (None) Inject(*spec.Container) (*spec.Container, error) { return nil, nil }

// RunPod allows it.
func (None) RunPod(context.Context, status.Pod) error { return nil }

// Create leaves everything as it is.
func (None) Create(context.Context, Draft) (*spec.Container, error) { return nil, nil }

// Start allows it.
func (None) Start(context.Context, status.Container) error { return nil }

// Update returns the limits as they are.
func (None) Update(_ context.Context, _ status.Container, limits *specs.LinuxResources) (*specs.LinuxResources, error) {
	return limits, nil
}

// UpdatePod allows it.
func (None) UpdatePod(context.Context, status.Pod, *specs.LinuxResources, *specs.LinuxResources) (func(), error) {
	return func() {}, nil
}

// Forget does nothing.
func (None) Forget(string, string) {}
