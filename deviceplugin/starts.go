package deviceplugin

import (
	"fmt"
	"sync"
	"time"
)

const (
	// startStrikes failed starts in a row withdraw a device that nobody has.
	startStrikes = 3
	// startBan is how long, before it is tried again.
	startBan = 10 * time.Minute
)

// starts counts failed container starts by base device.
type starts struct {
	mu    sync.Mutex
	fails map[string]fails // by id of the base; guarded by mu
}

type fails struct {
	times  int
	reason string
	last   time.Time
}

func (s *starts) failed(bases []string, reason string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.fails = map[string]fails{}
	}
	for _, id := range bases {
		s.fails[id] = fails{s.fails[id].times + 1, reason, now}
	}
}

func (s *starts) succeeded(bases []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range bases {
		delete(s.fails, id)
	}
}

// trouble says why a base device is not given anew, and until when.
func (s *starts) trouble(base string, now time.Time) (why string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fails[base]
	if until = f.last.Add(startBan); f.times < startStrikes || !now.Before(until) {
		return "", time.Time{}
	}
	return fmt.Sprintf("%d containers in a row could not start on it: %s", f.times, f.reason), until
}
