package apiserver

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// listener follows the pods as the agent does: it calls Watch again when that ends.
type listener struct {
	mu     sync.Mutex
	pods   map[types.UID]string // versions
	gone   []types.UID
	synced int
	errs   []error
	unsent bool // managed fields were seen
}

func listen(t *testing.T, p *Pods) *listener {
	t.Helper()
	l := &listener{pods: map[types.UID]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			seen := map[types.UID]bool{}
			listing := true
			err := p.Watch(ctx, func(p *corev1.Pod, gone bool) {
				l.mu.Lock()
				defer l.mu.Unlock()
				if l.unsent = l.unsent || len(p.ManagedFields) > 0; gone {
					delete(l.pods, p.UID)
					l.gone = append(l.gone, p.UID)
					return
				}
				seen[p.UID] = listing
				l.pods[p.UID] = p.ResourceVersion
			}, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.synced++
				listing = false
				maps.DeleteFunc(l.pods, func(uid types.UID, _ string) bool { return !seen[uid] })
			})
			l.mu.Lock()
			l.errs = append(l.errs, err)
			l.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// has waits for exactly these pods.
func (l *listener) has(t *testing.T, uids ...types.UID) {
	t.Helper()
	eventually(t, "the pods", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.synced > 0 && slices.Equal(slices.Sorted(maps.Keys(l.pods)), uids)
	})
}

func (l *listener) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func TestPodsOfThisNodeAreFollowed(t *testing.T) {
	for name, asJSON := range map[string]bool{"protobuf": false, "JSON": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.json = asJSON
			s.pod("a", "n1")
			s.pod("other", "n2")
			c := s.client(Config{})
			l := listen(t, c.Pods())
			l.has(t, "a")
			s.pod("b", "n1")
			s.pod("other2", "n2")
			l.has(t, "a", "b")
			s.pod("a", "n1")
			eventually(t, "the change of a", func() bool {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.pods["a"] == "15"
			})
			s.remove("a")
			l.has(t, "b")
			l.do(func() {
				if !slices.Equal(l.gone, []types.UID{"a"}) || l.synced != 1 || len(l.errs) > 0 || l.unsent {
					t.Errorf("gone %v, synced %d, errors %v, managed fields %v", l.gone, l.synced, l.errs, l.unsent)
				}
			})
		})
	}
}

// What the server has forgotten is listed again, and what went meanwhile is told.
func TestPodsAfterAForgottenVersion(t *testing.T) {
	s := newServer(t)
	s.pod("a", "n1")
	s.pod("b", "n1")
	l := listen(t, s.client(Config{}).Pods())
	l.has(t, "a", "b")
	s.do(func() { // while nobody is told
		delete(s.pods, "a")
		s.version += 5
	})
	s.forget()
	// The fake tells an open watch, too, that its version is too old.
	s.pod("c", "n1")
	l.has(t, "b", "c")
	l.do(func() {
		if !slices.Equal(l.gone, []types.UID{"a"}) || l.synced != 1 || len(l.errs) > 0 {
			t.Errorf("gone %v, synced %d, errors %v", l.gone, l.synced, l.errs)
		}
	})
}

func TestPodsWhileTheServerIsAway(t *testing.T) {
	s := newServer(t)
	s.pod("a", "n1")
	l := listen(t, s.client(Config{}).Pods())
	l.has(t, "a")
	for i := range 3 {
		s.stop()
		eventually(t, "errors", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.errs) >= 3*(i+1)
		})
		l.do(func() {
			for _, err := range l.errs {
				if err == nil || !strings.Contains(err.Error(), "from the API server") {
					t.Errorf("error %v", err)
				}
			}
		})
		s.start()
	}
	s.do(func() { delete(s.pods, "a") })
	s.pod("b", "n1")
	l.has(t, "b")
	s.do(func() {
		for _, q := range s.lists {
			if strings.Contains(q, "resourceVersion") {
				t.Errorf("a list that may be old: %s", q)
			}
		}
	})
}

func TestPodsEndWithTheContext(t *testing.T) {
	s := newServer(t)
	p := s.client(Config{}).Pods()
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.Watch(ctx, func(*corev1.Pod, bool) {}, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	eventually(t, "no watch is left", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.watches == 0
	})
}
