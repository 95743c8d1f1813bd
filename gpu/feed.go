package gpu

import "sync"

// Feed holds one immutable value that a single owner replaces and many read.
// Changes coalesce: who was told once reads the newest value, however many came between.
type Feed[T any] struct {
	mu      sync.Mutex
	value   T
	changed chan struct{} // closed at the next Set
}

// NewFeed starts with a value.
func NewFeed[T any](value T) *Feed[T] {
	return &Feed[T]{value: value, changed: make(chan struct{})}
}

// Get returns the value and a channel that is closed when it has been replaced.
func (f *Feed[T]) Get() (T, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value, f.changed
}

// Set replaces the value and wakes everybody who waits.
func (f *Feed[T]) Set(value T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.value = value
	close(f.changed)
	f.changed = make(chan struct{})
}
