// Package network connects pods. A pod with a network namespace of its own has the
// loopback interface, which its supervisor brings up, so that its containers reach
// one another over localhost; it is connected to nothing else. The package keeps
// no state and writes no files.
package network

import (
	"context"

	"carob/internal/pod"
	"carob/internal/status"
)

// Loopback is the network of pods that talk only inside themselves.
type Loopback struct{}

// Attach has nothing to connect and gives the pod no address.
func (Loopback) Attach(context.Context, pod.Attachment) ([]status.Connection, error) { return nil, nil }

// Detach has nothing to take back.
func (Loopback) Detach(context.Context, string, string) error { return nil }

// Keep has nothing to release.
func (Loopback) Keep(context.Context, []pod.Attachment) error { return nil }
