package agent

import (
	"context"

	"github.com/gpulet/gpulet/gpu"
)

// follow keeps one feed up to date with what is made of another, until ctx ends.
func follow[A, B any](ctx context.Context, from *gpu.Feed[A], to *gpu.Feed[B], derive func(A) B) error {
	for {
		value, changed := from.Get()
		to.Set(derive(value))
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}
