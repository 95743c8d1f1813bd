package apiserver

import "sync"

// latest is a value of which only the newest counts. Whoever waits for another is woken.
type latest[T any] struct {
	mu      sync.Mutex
	value   T             // guarded by mu
	changed chan struct{} // closed at the next set; guarded by mu
}

func (l *latest[T]) set(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value = v
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// get also gives a channel that is closed when the value is set again.
func (l *latest[T]) get() (T, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.value, l.changed
}

func (l *latest[T]) load() T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}
