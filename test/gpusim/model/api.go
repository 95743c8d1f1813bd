package model

import (
	"context"
	"time"
)

// Clock gives the time to everything that moves: loads, energy, samples, boot.
type Clock interface{ Now() time.Time }

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now is time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// Options are the surroundings of a Node.
type Options struct {
	// Clock defaults to SystemClock.
	Clock Clock
	// Seed makes UUIDs and noise: the same shape and seed give the same node. MIG UUIDs are drawn from it too, new at each creation.
	Seed uint64
	// Driver overrides the shape's driver version, for instance "535.183.01". The file's branch decides what exists.
	Driver string
	// StrictHandles makes MIG device handles and MIG GPM samples of other clients keep an instance from being destroyed, as leaked
	// handles do. Off, only processes and LeakHandle do.
	StrictHandles bool
	// CollapseXIDs: see Node.CollapseXIDs.
	CollapseXIDs bool
}

type symbolKey struct{}

// WithSymbol says which C function a call came through where several lead to one method (nvmlDeviceGetPciInfo_v2 and _v3, say).
// Fault injection and the driver's symbol table go by it.
func WithSymbol(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, symbolKey{}, name)
}

func symbolOf(ctx context.Context, fallback string) string {
	if s, ok := ctx.Value(symbolKey{}).(string); ok && s != "" {
		return s
	}
	return fallback
}
